"""Renews certificates of one node: decides, makes the pairs, has the engine swap them, waits until they are in use."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nodeagent.agent.certificates import Inspector, read_yaml
from nodeagent.agent.workplace import Workplace
from nodeagent.certs import repair, staged, swap
from nodeagent.certs.catalog import KUBELET_CLIENT, KUBELET_CONF, KUBELET_SELF_SIGNED, Item, Kind, Manager
from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Certificate, Contents
from nodeagent.certs.inventory import Inventory
from nodeagent.certs.node import FILE_LIMIT
from nodeagent.certs.renewal import Renewal, Wanted, manifests_of, propose, starting
from nodeagent.certs.repair import Repair, Restart
from nodeagent.certs.served import ending, loopback_names, targets
from nodeagent.certs.survey import Specimen, Survey
from nodeagent.certs.swap import Aftermath, Component, Disk, Renewed, Served
from nodeagent.changes.units import RestartUnit
from nodeagent.engine.executor import Outcome, Progress
from nodeagent.engine.handover import Handover
from nodeagent.engine.plan import Change, Plan
from nodeagent.errors import Broken, Problem, Rejected
from nodeagent.host.pki import PkiReader
from nodeagent.observed.certificates import Standing

_log = logging.getLogger("nodeagent")

_API_SERVER: Final = "kube-apiserver"
_HEALTH: Final = {_API_SERVER: "/readyz"}
_HANDOVER: Final = 60.0  # seconds that traffic may take to move away
_KUBELET: Final = "kubelet.service"
_READ_ONCE: Final = {KUBELET_SELF_SIGNED, KUBELET_CLIENT, KUBELET_CONF}  # by the kubelet, when it starts
# Of kubelet.crt that holds after 1.31 too: what it reads again is for clients that name a server (TLS SNI) alone, and
# the kube-apiserver, which dials an address, names none (v1.34, pkg/kubelet/server/server.go, ListenAndServeTLS).


@dataclass(frozen=True)
class Proposal:
    """What is to be renewed, and what was seen when that was decided.

    `repairs` let the kubelet go on by itself; `restarts` are static pods that start anew for their loopback
    certificates. `signed` were signed elsewhere and are only put in place.
    """

    survey: Survey
    renewals: tuple[Renewal, ...]
    now: datetime.datetime
    repairs: tuple[Repair, ...] = ()
    restarts: tuple[str, ...] = ()
    signed: tuple[Renewed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.renewals or self.repairs or self.restarts or self.signed)

    @property
    def pods(self) -> tuple[str, ...]:
        """All static pods that start anew, sorted."""
        return tuple(sorted({*starting(self.renewals), *self.restarts}))


class Rotation:
    """The renewals of the node `place`, as `inspector` sees it. Whoever renews holds the store's lock.

    `handover` is asked before the kube-apiserver starts anew, which stops answering for most of a minute.
    """

    def __init__(self, place: Workplace, inspector: Inspector, handover: Handover) -> None:
        self._handover = handover
        self._place = place
        self._inspector = inspector
        self._files = PkiReader(place.tree)

    def propose(self, wanted: Wanted, now: datetime.datetime, tried: Collection[str] = ()) -> Proposal:
        """What would be done; Rejected with every reason if that cannot be done.

        The kubelet is not restarted again for certificates whose serials are `tried`.
        """
        survey = self._surveyed(wanted)
        inventory = self._inspector.inventory(survey, now)
        mends = () if wanted.requests else self.repairs(survey, inventory, wanted, now, tried)
        restarts = {} if wanted.requests else self._restarts(survey, wanted, now)
        renewals = propose(survey, inventory, wanted, now, {each.path for each in mends}, restarts)
        return Proposal(survey, renewals, now, mends, tuple(restarts.values()))

    def repairs(
        self, survey: Survey, inventory: Inventory, wanted: Wanted, now: datetime.datetime, tried: Collection[str]
    ) -> tuple[Repair, ...]:
        """What can be put right, by name or all; of a node that is not running nothing is restarted."""
        found = repair.repairs(survey, inventory, now, tried)
        if not self._place.node.running:
            found = tuple(each for each in found if not isinstance(each, Restart))
        return tuple(each for each in found if not wanted.names or each.name in wanted.names)

    def _restarts(self, survey: Survey, wanted: Wanted, now: datetime.datetime) -> Mapping[str, str]:
        """Components by the names of their loopback certificates: those named, else those that are due.

        None of a node that is not running: the certificates are in the memory of what does not run there.
        """
        if not self._place.node.running:
            return {}
        names = loopback_names(survey)
        if wanted.names:
            return {name: component for name, component in names.items() if name in wanted.names}
        due = ending(self._inspector.answers(survey, now), self._inspector.policy.rule, now)
        components = {each.target.component for each in due}
        return {name: component for name, component in names.items() if component in components}

    def _surveyed(self, wanted: Wanted) -> Survey:
        """What is on the node, and the CA that was named by hand."""
        survey = self._inspector.survey()
        if not wanted.ca_certificate or survey.authority(wanted.ca_certificate) is not None:
            return survey
        library = self._inspector.library
        file, found = library.contents(wanted.ca_certificate)
        key_file, keys = library.contents(wanted.ca_key) if wanted.ca_key else (None, Contents())
        item = Item("ca by hand", wanted.ca_certificate, Kind.CA, wanted.ca_key, manager=Manager.NOBODY)
        return survey.adding(Specimen(item, file, found, keys, key_file))

    def renew(self, proposal: Proposal, progress: Callable[[Progress], None]) -> Outcome:
        """Renew; the outcome is UNDONE, with the reason, if a component did not take the new certificates up.

        Rejected, with nothing touched, if a new certificate would not serve everybody whom the old one serves.
        """
        plan = self._plan(proposal)
        if _API_SERVER not in proposal.pods:
            outcome = self._place.job.apply(plan, progress)
        else:
            self._handover.prepare("a restart of the kube-apiserver", _HANDOVER)
            try:
                outcome = self._place.job.apply(plan, progress)
            finally:
                self._handover.resume()
        self._forget(proposal.now)
        return outcome

    def request(self, proposal: Proposal, directory: str, progress: Callable[[Progress], None]) -> Outcome:
        """Leave a signing request and its key for each renewal in `directory`, for whoever has the CA's key."""
        from nodeagent.certs import issue  # noqa: PLC0415 - cryptography, by need

        asked = []
        for each in proposal.renewals:
            old_key = self._read(each.key_path or each.path)
            asked.append((each.name, issue.request(each.current.der, old_key)))
        paths = [path for name, _ in asked for path in swap.request_files(directory, name)]
        states = self._place.node.states([*swap.directories(directory), *paths])
        return self._place.job.apply(swap.requested(asked, directory, states), progress)

    def _plan(self, proposal: Proposal) -> Plan:
        renewed = (*proposal.signed, *(self._issued(each, proposal.now) for each in proposal.renewals))
        self._verify(renewed, proposal)
        self._try(renewed, proposal.survey)
        aftermath = self._aftermath(proposal)
        paths = [path for each in renewed for path in (each.renewal.path, each.renewal.key_path) if path]
        paths += [each.manifest for each in aftermath.components]
        paths += repair.paths(proposal.repairs)
        real = [self._target(path) or path for path in paths]
        state_dir = self._place.store.path
        states = self._place.node.states([*real, *paths, f"{state_dir}/{swap.REPLACED}"])
        disk = Disk(states, self._read, self._target)
        mends = repair.changes(proposal.repairs, disk, read_yaml)
        return swap.plan(renewed, mends, disk, aftermath, read_yaml, state_dir, f"{proposal.now:%Y%m%dT%H%M%SZ}")

    def _issued(self, renewal: Renewal, now: datetime.datetime) -> Renewed:
        from nodeagent.certs import issue  # noqa: PLC0415 - cryptography, by need

        authority = None
        if renewal.signer is not None:
            authority = issue.Authority(renewal.signer.der, self._read(renewal.authority_key))
        old_key = self._read(renewal.key_path) if renewal.key_path else self._read(renewal.path)
        try:
            issued = issue.issue(renewal.current.der, old_key, authority, now, renewal.ends)
        except ValueError as error:
            raise Rejected([Problem(renewal.name, renewal.authority_key or renewal.path, str(error))]) from None
        return Renewed(renewal, issued, contents(issued.certificate).certificates[0].fingerprint)

    def _verify(self, renewed: Iterable[Renewed], proposal: Proposal) -> None:
        """Hold what was issued against what is in place, before anything is touched."""
        problems = []
        for each in renewed:
            renewal, issued = each.renewal, contents(each.issued.certificate)
            anchors = self._anchors(renewal, proposal.survey) or issued.certificates
            verdict = staged.compare(
                renewal.current,
                issued,
                contents(each.issued.key),
                anchors,
                self._inspector.library.signed_by,
                proposal.now,
            )
            if renewal.signer is None:  # nobody checks who has signed it
                continue
            problems += [Problem(renewal.name, renewal.path, text) for text in verdict.problems]
        if problems:
            raise Rejected(problems)

    def _try(self, renewed: Iterable[Renewed], survey: Survey) -> None:
        """Use what was issued once: a server's in a handshake, a client's with whoever it is for."""
        from nodeagent.host import trial  # noqa: PLC0415 - ssl, by need

        problems = []
        for each in renewed:
            renewal, issued = each.renewal, each.issued
            complaint = trial.served(issued.certificate, issued.key) if renewal.serves else ""
            problems += [
                Problem(renewal.name, renewal.path, text) for text in (complaint, self._refusal(each, survey)) if text
            ]
        if problems:
            raise Rejected(problems)

    def _refusal(self, renewed: Renewed, survey: Survey) -> str:
        """Why whom it is for does not let it in; "" where that one runs elsewhere, or not: what is down may need it."""
        from nodeagent.host import trial  # noqa: PLC0415 - ssl, by need

        heard = (each for each in targets(survey) if each.component == renewed.renewal.audience)
        where = next((each.endpoint for each in heard if not each.is_loopback), None)
        if where is None or not self._place.node.running:
            return ""
        try:
            return trial.admitted(renewed.issued.certificate, renewed.issued.key, where)
        except OSError as error:
            _log.info("not tried", extra={"certificate": renewed.renewal.name, "reason": error.strerror or str(error)})
            return ""

    def _anchors(self, renewal: Renewal, survey: Survey) -> Sequence[Certificate]:
        """The CAs by which its consumers check it."""
        specimen = next(each for each in survey.specimens if each.path == renewal.path)
        return survey.authorities.get(specimen.item.authority) or survey.authorities.get(renewal.authority, ())

    # -- what follows -------------------------------------------------------------------------------------------------

    def _aftermath(self, proposal: Proposal) -> Aftermath:
        """What has to come about on a running node; of a mere directory nothing is expected."""
        if not self._place.node.running:
            return Aftermath()
        survey, signed = proposal.survey, (each.renewal for each in proposal.signed)
        paths = {each.path for each in (*proposal.renewals, *signed)}
        served = [
            Served(each.component, each.endpoint.address, each.endpoint.port, each.path)
            for each in targets(survey)
            if each.path in paths and each.component != "kubelet"
        ]
        kubelet = paths & _READ_ONCE or any(isinstance(each, Restart) for each in proposal.repairs)
        also: tuple[Change, ...] = (RestartUnit(_KUBELET),) if kubelet else ()
        return Aftermath(tuple(served), tuple(self._components(proposal)), also)

    def _components(self, proposal: Proposal) -> Iterable[Component]:
        if not proposal.pods:
            return
        began = self._began(proposal.survey)
        for pod, manifest in sorted(manifests_of(proposal.pods, proposal.survey).items()):
            where = next((each.endpoint for each in targets(proposal.survey) if each.component == pod), None)
            if where is None:
                raise Broken(f"{manifest}: does not tell where {pod} listens, so its restart could not be seen")
            yield Component(pod, manifest, where.address, where.port, _HEALTH.get(pod, "/healthz"), began.get(pod, 0))

    def _began(self, survey: Survey) -> Mapping[str, int]:
        """When each component started, by the certificate that it made for itself then."""
        from nodeagent.host.components import started  # noqa: PLC0415 - by need
        from nodeagent.host.probe import TlsProbe  # noqa: PLC0415 - ssl, by need

        probe = TlsProbe(self._place.settings.certs.probe_timeout)
        loopbacks = [each for each in targets(survey) if each.is_loopback]
        return {each.component: started(probe.served(each.endpoint).der) for each in loopbacks}

    # -- files --------------------------------------------------------------------------------------------------------

    def _read(self, path: str) -> bytes:
        file, data = self._files.read(path, FILE_LIMIT)
        if file.standing is not Standing.FILE:
            raise Rejected([Problem(path, "", file.problem or "is not there")])
        return data

    def _target(self, path: str) -> str:
        return self._files.look(path).target

    def _forget(self, now: datetime.datetime) -> None:
        """Drop copies of what was replaced once nobody will want them back."""
        oldest = now - datetime.timedelta(seconds=self._place.settings.certs.keep_replaced)
        for name, _ in self._place.store.names(swap.REPLACED):
            if name < f"{oldest:%Y%m%dT%H%M%SZ}":
                self._place.store.remove(f"{swap.REPLACED}/{name}")
