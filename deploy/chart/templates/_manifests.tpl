{{/*
The manifests of the kustomization, read where they stand (files/ holds links to them), and what a value changes in
them. Nothing of them is written here a second time.
*/}}

{{/* The text of .file in the namespace of the release, which the policies name too. */}}
{{- define "nodeagent.text" -}}
{{- $namespace := .root.Release.Namespace -}}
{{- $text := .root.Files.Get .file | required (printf "the chart has no %s: it was packed without what its links lead to" .file) -}}
{{- $text = regexReplaceAll "(?m)namespace: nodeagent$" $text (printf "namespace: %s" $namespace) -}}
{{- $text | replace "system:serviceaccount:nodeagent:" (printf "system:serviceaccount:%s:" $namespace) -}}
{{- end }}

{{- define "nodeagent.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The workload of .file with .values for its pods, and .settings beside those that the values name. */}}
{{- define "nodeagent.workload" -}}
{{- $workload := include "nodeagent.text" . | fromYaml -}}
{{- $pod := $workload.spec.template.spec -}}
{{- $container := first $pod.containers -}}
{{- $_ := set $container "image" (include "nodeagent.image" .root) -}}
{{- with .root.Values.image.pullPolicy }}{{ $_ := set $container "imagePullPolicy" . }}{{ end -}}
{{- with .root.Values.imagePullSecrets }}{{ $_ := set $pod "imagePullSecrets" . }}{{ end -}}
{{- with .values.resources }}{{ $_ := set $container "resources" . }}{{ end -}}
{{- with .args }}{{ $_ := set $container "args" . }}{{ end -}}
{{- range $key := list "nodeSelector" "tolerations" "priorityClassName" -}}
{{- with index $.values $key }}{{ $_ := set $pod $key . }}{{ end -}}
{{- end -}}
{{- with .values.podAnnotations }}{{ $_ := set $workload.spec.template.metadata "annotations" . }}{{ end -}}
{{- with .values.replicas }}{{ $_ := set $workload.spec "replicas" . }}{{ end -}}
{{- with .values.maxUnavailable }}{{ $_ := set $workload.spec.updateStrategy.rollingUpdate "maxUnavailable" . }}{{ end -}}
{{- $env := include "nodeagent.environment" (dict "env" $container.env "settings" (merge dict .values.settings (.settings | default dict))) -}}
{{- $_ := set $container "env" (fromYamlArray $env) -}}
{{- toYaml $workload -}}
{{- end }}

{{/* .env with .settings (key of docs/settings.md to value) in the place of variables of the same name, or after them. */}}
{{- define "nodeagent.environment" -}}
{{- $named := dict -}}
{{- range $key, $value := .settings -}}
{{- $_ := set $named (printf "NODEAGENT_%s" (upper (replace "." "_" $key))) (kindIs "string" $value | ternary $value (toJson $value)) -}}
{{- end -}}
{{- $env := list -}}
{{- range .env -}}
{{- $env = append $env (hasKey $named .name | ternary (dict "name" .name "value" (get $named .name)) .) -}}
{{- $named = omit $named .name -}}
{{- end -}}
{{- range $name, $value := $named }}{{ $env = append $env (dict "name" $name "value" $value) }}{{ end -}}
{{- toYaml $env -}}
{{- end }}

{{/* The custom resource of .file, which Helm leaves where it is told to. */}}
{{- define "nodeagent.definition" -}}
{{- $definition := .root.Files.Get .file | fromYaml -}}
{{- if .root.Values.crds.keep -}}
{{- $annotations := $definition.metadata.annotations | default dict -}}
{{- $_ := set $definition.metadata "annotations" (merge (dict "helm.sh/resource-policy" "keep") $annotations) -}}
{{- end -}}
{{- toYaml $definition -}}
{{- end }}

{{/* The objects of .file but for the identities in .off: no account, and no binding that names no other. */}}
{{- define "nodeagent.granted" -}}
{{- range regexSplit "(?m)^---$" (include "nodeagent.text" .) -1 }}
{{- $object := fromYaml . -}}
{{- $kept := not (and (eq $object.kind "ServiceAccount") (has $object.metadata.name $.off)) -}}
{{- if hasKey $object "subjects" -}}
{{- $subjects := list -}}
{{- range $object.subjects }}{{ if not (has .name $.off) }}{{ $subjects = append $subjects . }}{{ end }}{{ end -}}
{{- $_ := set $object "subjects" $subjects -}}
{{- $kept = not (empty $subjects) -}}
{{- end }}
{{- if $kept }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
