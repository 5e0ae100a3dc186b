"""Strings that try to be more than strings: where a name, path, ref, URL or text is taken, each is refused or just that.

`CANARY` stands for a file that exists as soon as any of them was executed, or a path in them followed.
"""

SHELL = (
    "$(touch CANARY)", "`touch CANARY`", ";touch CANARY;", "a;touch CANARY", "|touch CANARY", "&& touch CANARY",
    "& touch CANARY &", "> CANARY", ">CANARY", "$(>CANARY)", "a$(touch${IFS}CANARY)", "a;touch${IFS}CANARY",
    "a|touch${IFS}CANARY", "a'b;touch CANARY;'", '"; touch CANARY; "', "'; touch CANARY; '", "'$(touch CANARY)'",
    "\ntouch CANARY", "a\ntouch CANARY\n", "a\r\ntouch CANARY", "{touch,CANARY}", "$IFS$9touch$IFS$9CANARY", "<(touch CANARY)",
    "!touch CANARY", "~root", "*", "?", "[a-z]", "#", "\\", "$HOME", "${PATH}", "$'\\x24(touch CANARY)'",
    "EOF\ntouch CANARY\nEOF", "() { :;}; touch CANARY", "a[$(touch CANARY)]", "$((a[$(touch CANARY)]))",
)  # fmt: skip
OPTIONS = (
    "--upload-pack=touch CANARY; git-upload-pack", "--upload-pack=touch${IFS}CANARY;", "-u touch CANARY",
    "--exec=touch CANARY", "-oProxyCommand=touch CANARY", "--output=CANARY", "-c core.fsmonitor=touch CANARY",
    "--config-env=x=y", "--help", "--version", "-", "--", "-rf", "--checkpoint-action=exec=touch CANARY",
    "--to-command=touch CANARY", "--use-compress-program=touch CANARY", "@CANARY", "-i/etc/passwd", "--git-dir=/etc",
)  # fmt: skip
PATHS = (
    "../../../../../../../../CANARY", "..", ".", "/etc/passwd", "....//....//etc/passwd", "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc", "..\\..\\x", "C:\\x", ".git", ".git/hooks/post-checkout", ".GIT/config", ".g\u200cit", "git~1",
    ".gitmodules", "refs/heads/../../config", "HEAD", "FETCH_HEAD", "@{-1}", "@", "a..b", "a.lock", "a@{1}", "HEAD^{/x}",
    ":(exclude)x", ":/x", "stash@{0}", "a//b", "/", "//", "a/../../b",
)  # fmt: skip
URLS = (
    "ext::sh -c touch% CANARY", "file:///etc", "fd::17", "ssh://-oProxyCommand=touch CANARY/x", "https://127.0.0.1/x.git",
    "https://127.1/x.git", "https://0x7f.1/x.git", "https://localhost./x.git", "https://x.localhost./x.git",
    "https://169.254.169.254./latest", "https://[::ffff:169.254.169.254]/", "https://[::1]/x", "https://user:pw@example.com/x",
    "git@example.com:x", "javascript:alert(1)", "http://example.com/x.git", "https://example.com@127.0.0.1/x",
)  # fmt: skip
TEXTS = (
    "'; DROP TABLE apps; --", '" OR 1=1 --', "<script>alert(1)</script>", "\x1b[31mred", "\x1b]0;title\x07", "\x00", "a\x00b",
    "a\r\nX-Evil: 1", "\u202egnp.exe", "\ud800", "x" * 300, "\u00e9" * 200, "\ufeff", " ", "${jndi:ldap://x}", "a\u2028b",
    "{{7*7}}", "%s%n%x", "{0.__class__}", "__proto__", "pr:1", "x-pr-1", "x-br-y", "true", "null", "1e999", "\U0001f4a9",
)  # fmt: skip
WORDS = (*SHELL, *OPTIONS, *PATHS, *URLS, *TEXTS)


def with_canary(word: str, canary: str) -> str:
    """The word with the place of its canary."""
    return word.replace("CANARY", canary)
