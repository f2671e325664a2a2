"""The settings of Dovecot 2.3 that 2.4 renamed, split or removed, and what to write instead.

Source: "Upgrading Dovecot CE from 2.3 to 2.4" (converted and removed settings), tried on 2.4.1.
"""

from __future__ import annotations

from maildiag.dovecot.variables import modern

_FILES = {
    "ssl_cert": "ssl_server_cert_file",
    "ssl_key": "ssl_server_key_file",
    "ssl_dh": "ssl_server_dh_file",
    "ssl_alt_cert": "ssl_server_alt_cert_file",
    "ssl_alt_key": "ssl_server_alt_key_file",
    "ssl_client_cert": "ssl_client_cert_file",
    "ssl_client_key": "ssl_client_key_file",
    "ssl_ca": "ssl_server_ca_file",
}
_NAMES = {
    "acl": "acl_driver",
    "acl_anyone": "imap_acl_allow_anyone",
    "auth_default_realm": "auth_default_domain",
    "default_idle_kill": "default_idle_kill_interval",
    "event_exporter_transport": "event_exporter_driver",
    "fts_index_timeout": "fts_search_timeout",
    "fts_language_config": "textcat_config_path",
    "lazy_expunge": "lazy_expunge_mailbox",
    "mail_attachment_dir": "mail_ext_attachment_path",
    "mail_attachment_hash": "mail_ext_attachment_hash",
    "mail_attachment_min_size": "mail_ext_attachment_min_size",
    "master_user_separator": "auth_master_user_separator",
    "push_notification_backend": "push_notification_driver",
    "quota_grace": "quota_storage_grace",
    "quota_max_mail_size": "quota_mail_size",
    "quota_over_flag": "quota_over_status_current",
    "quota_over_flag_lazy_check": "quota_over_status_lazy_check",
    "quota_over_flag_value": "quota_over_status_mask",
    "ssl_ca_dir": "ssl_client_ca_dir",
    "ssl_ca_file": "ssl_client_ca_file",
    "ssl_cert_username_field": "ssl_server_cert_username_field",
    "ssl_key_password": "ssl_server_key_password",
    "ssl_require_crl": "ssl_server_require_crl",
    "ssl_verify_client_cert": "ssl_server_request_client_cert",
}
_REMOVED = {
    "auth_stats": "it has no successor",
    "auth_worker_max_count": "set process_limit in service auth-worker { }",
    "config_cache_size": "it has no successor",
    "dict_db_config": "Berkeley DB is no longer supported",
    "fts": "use a section: fts DRIVER { }",
    "fts_autoindex_exclude": "set fts_autoindex = no within the mailbox's section",
    "fts_decoder": "use fts_decoder_driver and fts_decoder_script_socket_path",
    "fts_languages": "use sections: language NAME { }",
    "imap_id_log": "it has no successor",
    "imapc_ssl_verify": "use ssl_client_require_valid_cert",
    "login_access_sockets": "it has no successor",
    "mail_attachment_fs": "use a section: mail_ext_attachment { fs … { } }",
    "mail_attribute_dict": "use a section: mail_attribute { dict … { } }",
    "quota": 'use a section: quota "User quota" { }',
    "quota_rule": "use quota_storage_size and quota_message_count within the quota's section",
    "quota_set": "it has no successor",
    "quota_warning": "use sections: quota_warning NAME { } within the quota's section",
    "sieve_dir": "use a section: sieve_script personal { path = … }",
    "sieve_global_dir": "use sections: sieve_script NAME { type = global }",
    "sieve_global_path": "use sections: sieve_script NAME { type = default }",
    "ssl_protocols": "use ssl_min_protocol",
    "stats_http_rawlog_dir": "set http_client_rawlog_dir within stats_server { }",
}
_SERVICE = {"service_count": "restart_request_count", "idle_kill": "idle_kill_interval"}
_DRIVERS = {"maildir", "mbox", "mdbox", "sdbox"}

SINCE_2_4 = frozenset(
    {
        "auth_allow_cleartext",
        "auth_default_domain",
        "dovecot_config_version",
        "dovecot_storage_version",
        "mail_driver",
        "mail_inbox_path",
        "mail_index_path",
        "mail_path",
        "mailbox_list_layout",
        "passdb_pam_service_name",
        "passwd_file_path",
        "ssl_server_cert_file",
        "ssl_server_dh_file",
        "ssl_server_key_file",
        "ssl_server_ca_file",
        "ssl_server_prefer_ciphers",
    }
)
_BACK = {
    "mail_driver": "mail_location",
    "mail_path": "mail_location",
    "mail_inbox_path": "mail_location",
    "mail_index_path": "mail_location",
    "auth_allow_cleartext": "disable_plaintext_auth (with the opposite value)",
    "ssl_server_cert_file": "ssl_cert = </PATH",
    "ssl_server_key_file": "ssl_key = </PATH",
    "ssl_server_dh_file": "ssl_dh = </PATH",
}


def successor(name: str, section: str = "") -> str:
    """What 2.4 has for a 2.3 setting in a section of this kind, in words; "" where the name did not change."""
    if section == "service" and name in _SERVICE:
        return _SERVICE[name]
    simple = _NAMES.get(name) or _FILES.get(name)
    if simple:
        return simple
    words = {
        "disable_plaintext_auth": "auth_allow_cleartext (with the opposite value)",
        "mail_location": "mail_driver and mail_path (and mail_inbox_path)",
        "ssl_prefer_server_ciphers": "ssl_server_prefer_ciphers = server or client",
        "verbose_ssl": "log_debug = category=ssl",
    }
    if name in words:
        return words[name]
    return f"nothing: {_REMOVED[name]}" if name in _REMOVED else ""


def predecessor(name: str) -> str:
    """What 2.3 has for a setting that came with 2.4; "" where nothing is known."""
    return _BACK.get(name, "")


def translated(name: str, value: str, section: str = "") -> tuple[str, ...]:
    """The lines that say in 2.4 what `name = value` said in 2.3; empty where that needs a person."""
    value = modern(value)
    if section == "service" and name in _SERVICE:
        return (f"{_SERVICE[name]} = {'unlimited' if value == '0' and name == 'service_count' else value}",)
    if name in _FILES:
        return (f"{_FILES[name]} = {value.lstrip('<')}",) if value.startswith("<") else ()
    if name in _NAMES:
        return (f"{_NAMES[name]} = {value}",)
    match name:
        case "disable_plaintext_auth" if value in ("yes", "no"):
            return (f"auth_allow_cleartext = {'no' if value == 'yes' else 'yes'}",)
        case "ssl_prefer_server_ciphers" if value in ("yes", "no"):
            return (f"ssl_server_prefer_ciphers = {'server' if value == 'yes' else 'client'}",)
        case "ssl_protocols":
            return ("ssl_min_protocol = TLSv1.2",)
        case "verbose_ssl":
            return ("log_debug = category=ssl",) if value == "yes" else ("#verbose_ssl = no",)
        case "mail_location":
            return _location(value)
    return ()


def _location(value: str) -> tuple[str, ...]:
    """`maildir:~/Maildir:INBOX=…:LAYOUT=fs` as the settings into which 2.4 split it."""
    driver, _, rest = value.partition(":")
    path, *options = rest.split(":")
    if driver not in _DRIVERS or not path:
        return ()
    names = {
        "INBOX": "mail_inbox_path",
        "INDEX": "mail_index_path",
        "CONTROL": "mail_control_path",
        "LAYOUT": "mailbox_list_layout",
    }
    pairs = dict(each.partition("=")[::2] for each in options)
    if set(pairs) - set(names):
        return ()
    if driver == "maildir":
        pairs.setdefault("INBOX", path)
    lines = [f"{names[key]} = {each}" for key, each in pairs.items()]
    return (f"mail_driver = {driver}", f"mail_path = {path}", *lines)
