"""What a kubeadm node of the tests is configured with: containerd, pod network, kubelet, kernel settings, kubeadm."""

from __future__ import annotations

from tests.kubeadm.supervisor import NODE

_CONTAINERD = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_cgroup = true # the machine's cgroups have no controllers
  disable_apparmor = true
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"""
_NETWORK = """
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
"""
_KUBELET = """
[Unit]
After=containerd.service kernel-settings.service
[Service]
ExecStart=/usr/local/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml \
    --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf $KUBELET_KUBEADM_ARGS
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
Restart=always
RestartSec=1
StartLimitInterval=0
[Install]
WantedBy=multi-user.target
"""
# The kubelet sets these, and takes a value that it finds as it wants it: so the machine gets files of its own.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_KERNEL_SETTINGS = """
[Unit]
Before=containerd.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
{commands}
[Install]
WantedBy=multi-user.target
"""
# What stands in for the pause program is deaf to SIGTERM as init of its sandbox: a shutdown need not wait for it.
_SHUTDOWN = """
[Manager]
DefaultTimeoutStopSec=5s
"""
_KUBEADM = """
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}, bindPort: 443}} # the port of the service, which has no proxy
nodeRegistration:
  name: {name}
  criSocket: unix:///run/containerd/containerd.sock
  imagePullPolicy: Never
  taints: []
  kubeletExtraArgs: [{{name: node-ip, value: {address}}}]
timeouts: {{controlPlaneComponentHealthCheck: 3m0s}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
networking: {{podSubnet: 10.88.0.0/16, serviceSubnet: 10.96.0.0/16}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: [none]
failCgroupV1: false
localStorageCapacityIsolation: false
resolvConf: /etc/resolv.conf
"""


def files(image_names: list[str]) -> dict[str, str]:
    """The files of the machine by path; of the images, containerd wants to know the one of the sandbox."""
    (pause,) = [name for name in image_names if "/pause:" in name]
    return {
        "/etc/containerd/config.toml": _CONTAINERD.format(pause=pause),
        "/etc/cni/net.d/10-pods.conflist": _NETWORK,
        "/etc/systemd/system/kubelet.service": _KUBELET,
        "/etc/systemd/system.conf.d/shutdown.conf": _SHUTDOWN,
        "/etc/systemd/system/kernel-settings.service": _kernel_settings(),
        "/etc/resolv.conf": "",
        **{f"/etc/kernel-settings/{name}": f"{value}\n" for name, value in _SYSCTLS.items()},
    }


def kubeadm(name: str, version: str) -> str:
    """The configuration of `kubeadm init` for the node `name`."""
    return _KUBEADM.format(name=name, version=version, address=NODE)


def _kernel_settings() -> str:
    """A service that does at each boot what a real kernel has done: settings of its own, and mounts that spread."""
    commands = [f"/bin/mount --bind /etc/kernel-settings/{name} /proc/sys/{name}" for name in _SYSCTLS]
    commands += ["/bin/mount --make-rshared /", "/bin/ln -sf null /dev/kmsg"]
    return _KERNEL_SETTINGS.format(commands="\n".join(f"ExecStart={command}" for command in commands))
