"""The wordings of systemd, the kernel, the audit system and the loggers that concern mail services."""

from __future__ import annotations

from maildiag.logs.known import ProblemClass, critical, notice, warning

# fmt: off
_UNIT = r"(?P<unit>(?:postfix|dovecot|saslauthd|opendkim|opendmarc|rspamd|amavis|spamassassin|spamd|clamav|clamd|mysql|mariadb|postgresql|slapd|postgrey|postsrsd|redis|fail2ban|named|bind9|unbound|systemd-resolved|rsyslog)[\w@.:\\-]*)"

SYSTEMD: tuple[ProblemClass, ...] = (
    critical("systemd.start-limit", _UNIT + r": Start request repeated too quickly",
             "systemd gave up starting a service; the first failure before this line is the cause."),
    critical("systemd.oom", _UNIT + r": (?:A process of this unit has been killed by the OOM killer|Failed with result 'oom-kill')",
             "A process of a service was killed because memory ran out."),
    critical("systemd.exited", _UNIT + r": (?:Main|Control|Start-\w+) process exited, code=(?P<code>\w+),? status=(?P<status>\S+)",
             "A process of a service ended with an error."),
    critical("systemd.failed", _UNIT + r": Failed with result '(?P<result>[^']+)'", "A service failed."),
    critical("systemd.start-failed", r"Failed to (?:start|reload) " + _UNIT, "systemd could not start or reload a service."),
    critical("systemd.start-failed", r"Failed to (?P<verb>start|reload|listen on) (?P<unit>.*?(?i:postfix|dovecot|imap|mail|smtp).*)",
             "systemd could not start or reload a service."),
    critical("systemd.bad-unit", _UNIT + r":\d* ?.*(?:Failed to (?:load|parse|execute|locate)|bad-setting|Unknown (?:key|lvalue|section))", "A unit file is wrong."),
    warning("systemd.stop-timeout", _UNIT + r": (?:State '(?P<state>[\w-]+)' timed out|\w+ operation timed out|start operation timed out)", "A service did not start or stop in time."),
    critical("systemd.dependency", r"Dependency failed for (?P<unit>.*(?i:postfix|dovecot|mail).*)", "A service was not started because another failed."),
    notice("journal.rate-limit", r"Suppressed (?P<count>\d+) messages from (?P<unit>\S+)", "The journal dropped messages: the log is not complete."),
    critical("systemd.core-dump", r"Process \d+ \((?P<program>[^)]+)\) of user \d+ (?:dumped core|terminated abnormally)", "A program crashed."),
)

KERNEL: tuple[ProblemClass, ...] = (
    critical("kernel.oom", r"Out of memory: Kill(?:ed)? process \d+ \((?P<program>[^)]+)\)|oom-kill:|Memory cgroup out of memory: Killed process \d+ \((?P<program2>[^)]+)\)|oom_reaper: reaped process \d+ \((?P<program3>[^)]+)\)",
             "The kernel killed a process because memory ran out."),
    critical("kernel.filesystem", r"(?P<fs>EXT[234]|XFS|BTRFS|btrfs)[- ](?:fs )?(?:error|critical)? ?\(?(?:device )?(?P<device>[\w.-]+)\)?.*(?:error|[Cc]orrupt|[Rr]emounting filesystem read-only|[Ss]hutdown|Shutting down|forced readonly)|Remounting filesystem read-only",
             "A file system has errors or became read-only."),
    critical("kernel.disk", r"(?:I/O error|Buffer I/O error|critical (?:medium|target) error|blk_update_request)[^:]*(?:: (?P<what>\w+ error))?,? (?:on )?dev (?P<device>\w+)|(?P<ata>ata\d+[.\d]*): .*(?:failed command|error)|nvme\d+: .*(?:timeout|reset)",
             "A disk fails to read or write."),
    critical("kernel.apparmor", r"apparmor=\"DENIED\" operation=\"(?P<operation>[^\"]+)\".*?profile=\"(?P<profile>[^\"]*)\"(?:.*?name=\"(?P<name>[^\"]*)\")?(?:.*?comm=\"(?P<program>[^\"]*)\")?(?:.*?requested_mask=\"(?P<wanted>[^\"]*)\")?",
             "AppArmor forbade a program something."),
    notice("kernel.selinux-permissive", r"avc: +denied .*\bpermissive=1\b", "SELinux would forbid a program something, and only tells of it: it is permissive."),
    critical("kernel.selinux", r"avc: +denied +\{ (?P<operation>[^}]+?) \} for .*?comm=\"?(?P<program>[^\s\"]+)\"?(?:.*?(?:name|path|dest)=\"?(?P<name>[^\s\"]+)\"?)?(?:.*?scontext=(?P<source>\S+))?(?:.*?tcontext=(?P<target>\S+))?(?:.*?tclass=(?P<class>\S+))?",
             "SELinux forbade a program something."),
    critical("kernel.crash", r"(?P<program>[\w./-]+)\[\d+\]:? (?:segfault at|general protection|trap \w+)", "A program crashed."),
    warning("kernel.conntrack", r"nf_conntrack: (?:nf_conntrack: )?table full, dropping packet", "The firewall's connection table is full; connections are dropped."),
    warning("kernel.syn-flood", r"[Pp]ossible SYN flooding on port (?P<port>[^\s.]+)", "More connections arrive at a port than are accepted."),
    warning("kernel.files", r"VFS: file-max limit (?P<limit>\d+) reached", "The system has no more file handles."),
    warning("kernel.hung", r"(?:INFO: )?task (?P<program>[^\s:]+)(?::\d+)? blocked for more than (?P<seconds>\d+) seconds", "A process waited for a disk for minutes."),
    warning("kernel.memory", r"page allocation failure", "The kernel found no memory."),
)

OTHER: tuple[ProblemClass, ...] = (
    critical("kernel.selinux", r"SELinux is preventing (?P<program>\S+) from (?P<operation>.*?) access", "SELinux forbade a program something."),
    notice("log.rate-limit", r"begin to drop messages due to rate-limiting|(?P<count>\d+) messages lost due to rate-limiting|imuxsock.*lost (?P<count2>\d+) messages",
           "The logger dropped messages: the log is not complete."),
    notice("fail2ban.ban", r"\[(?P<jail>[^\]]*(?:postfix|dovecot|sasl|mail|smtp|imap|pop)[^\]]*)\] Ban (?P<address>\S+)", "fail2ban banned an address from a mail service."),
    warning("clock.jump", r"(?:System clock wrong by|System clock was stepped by|Time has been changed|step-systime|Forward time jump detected|Backward time jump detected) ?(?P<seconds>-?[\d.]+)?",
            "The clock was corrected."),
    critical("pam.error", r"PAM (?:unable to dlopen|adding faulty module)|pam_\w+\(dovecot:\w+\): (?:.*(?:cannot|could not|error|unable).*)", "PAM cannot be used."),
)
# fmt: on
