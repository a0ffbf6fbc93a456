"""The survey page, /s/{token}: plain forms, no script, nothing from elsewhere. Looking at it records no answer."""

from __future__ import annotations

import functools
import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from itsdangerous import BadData, BadSignature, SignatureExpired, Signer, URLSafeTimedSerializer
from multidict import MultiMapping

from config.questions import LONGEST_TEXT, Question
from config.surveys import Survey
from inbox.partitions import UnknownId, key, tag
from inbox.store import StoreError
from outbox.asking import Occasion, chosen_language, label, onward_of, wording
from outbox.invitations import Given, NoInvitation
from outbox.means import Means
from outbox.questionnaire import Unfit, checked, finished, main_score, sheet
from outbox.responses import ANSWERED, SENT, Answer, Invitation
from outbox.survey_answers import SurveyAnswers, done_of
from outbox.survey_post import conversation_of
from outbox.survey_words import WORDS, say

if TYPE_CHECKING:
    import jinja2

log = logging.getLogger(__name__)

FORM_LIFE = 24 * 3600
BODY_LIMIT = 64 << 10
NAMES = {"zh": "中文", "en": "English"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer a browser would send the form with "Origin: null", and that is how foreign pages look.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request to the page of an invitation that is there."""

    one: Invitation
    survey: Survey
    occasion: Occasion
    token: str


class Tokens:
    """Signed names of invitations, for addresses, and of forms. *secret* is the hub's own key."""

    def __init__(self, secret: str) -> None:
        self._signer = Signer(secret, salt="survey")
        self._forms = URLSafeTimedSerializer(secret, salt="survey-form")

    def token(self, invitation: str) -> str:
        """Return what stands in the address of an invitation's page."""
        return self._signer.sign(invitation).decode()

    def invitation(self, token: str) -> str:
        """Return whose a token is. Raises `BadSignature`."""
        return self._signer.unsign(token).decode()

    def form(self, invitation: str, question: str, now: int) -> str:
        """Return what a form carries to prove that it came with a page of ours."""
        return str(self._forms.dumps([invitation, question, now, secrets.token_urlsafe(6)]))

    def opened(self, form: str, invitation: str) -> tuple[str, int, str]:
        """Return a form's question, when it was opened, and its own name. Raises `BadData`."""
        name, question, at, own = self._forms.loads(form, max_age=FORM_LIFE)
        if name != invitation:
            raise BadSignature("this form belongs to another invitation")
        return question, at, own


class SurveyPages:
    """The page's handlers."""

    def __init__(self, means: Means, answers: SurveyAnswers, tokens: Tokens) -> None:
        self._means = means
        self._answers = answers
        self._tokens = tokens

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return what the server answers below /s/."""
        return [
            web.get("/s/{name:survey-[0-9a-f]+[.]css}", self._css),
            web.get("/s/{token}", self._guarded(self._show)),
            web.post("/s/{token}", self._guarded(self._take)),
            web.get("/s/{token}/thanks", self._guarded(self._thanks)),
        ]

    def _guarded(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                visit = await self._visit(request)
                if isinstance(visit, web.Response):
                    return visit
                return await handler(request, visit)  # type: ignore[no-any-return]
            except StoreError:
                language = self._language(request, None, "")
                response = self._told(language, "page_busy", "page_busy_more", 503)
                response.headers["Retry-After"] = "5"
                return response

        return handle

    async def _css(self, request: web.Request) -> web.Response:
        name, text = _style()
        if request.match_info["name"] != name:
            raise web.HTTPNotFound
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=text, content_type="text/css", charset="utf-8", headers=headers)

    async def _visit(self, request: web.Request) -> Visit | web.Response:
        """Find the invitation of a request, or say why there is nothing to answer."""
        token = request.match_info["token"]
        try:
            one = await self._means.invitations.load(self._tokens.invitation(token))
        except (BadSignature, UnknownId, NoInvitation, ValueError):
            return self._told(self._language(request, None, ""), "page_unknown", "page_unknown_more", 404)
        survey = self._means.surveys().get(one.survey)
        language = self._language(request, survey, one.language)
        over = one.state not in (SENT, ANSWERED) or one.expires <= self._means.now()
        if survey is None or (over and one.state != ANSWERED):
            return self._told(language, "page_expired", "page_expired_more", 410)
        conversation = await conversation_of(self._means, one)
        values = self._means.occasion(survey, one, conversation).values
        return Visit(one, survey, Occasion(one.id, language, "", values), token)

    def _language(self, request: web.Request, survey: Survey | None, known: str) -> str:
        """Return the language that is asked for, else the contact's, else the browser's."""
        asked = request.query.get("lang", "")
        browser = [part.partition(";")[0].strip() for part in request.headers.get("Accept-Language", "").split(",")]
        wanted = [asked, known, *browser]
        if survey is not None:
            return chosen_language(survey, *wanted)
        first = next((each for each in wanted if each[:2] in WORDS), self._means.settings().locale)
        return first[:2]

    async def _show(self, request: web.Request, visit: Visit) -> web.Response:
        """Show the questions that are open. Nothing is recorded but that somebody, or something, has looked."""
        progress = await self._means.invitations.answers(visit.one)
        done = done_of(progress)
        closed = progress.response.complete or visit.one.expires <= self._means.now()
        if closed or finished(visit.survey, done):
            return self._told(visit.occasion.language, "page_answered", "page_answered_more", 410)
        if request.method == "GET":
            place = visit.one.place
            name = key(place.partition, f"iv:{place.key}")
            await self._means.store.do(tag(place.partition), "HSETNX", name, "opened", self._means.now())
        shown = sheet(visit.survey, done)
        given = {each.id: request.query.getall(each.id) for each in shown if each.id in request.query}
        return self._form(request, visit, shown, given, {}, 200, first=not done)

    async def _take(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        """Take a form that came with a page of ours, from this site, and no other."""
        language = visit.occasion.language
        if not self._from_here(request):
            return self._told(language, "page_refused", "page_refused_more", 403)
        if (request.content_length or 0) > BODY_LIMIT:
            return self._told(language, "page_refused", "page_refused_more", 413)
        form = await request.post()
        language = chosen_language(visit.survey, str(form.get("_lang", "")), language)
        visit = Visit(visit.one, visit.survey, Occasion(visit.one.id, language, "", visit.occasion.values), visit.token)
        progress = await self._means.invitations.answers(visit.one)
        done = done_of(progress)
        try:
            question, opened, own = self._tokens.opened(str(form.get("_form", "")), visit.one.id)
        except SignatureExpired:
            question, opened, own = "", 0, ""
        except (BadData, ValueError, TypeError):
            return self._told(language, "page_refused", "page_refused_more", 403)
        late = _unchecked(visit.survey, question, form) if question in done else ()
        if late:  # a second tap, or somebody went back: the first one counts
            return await self._give(visit, own, opened, late, ())
        shown = sheet(visit.survey, done)
        if not shown:
            return self._told(language, "page_answered", "page_answered_more", 409)
        if not own:
            again = {"": say(language, "page_again")}
            return self._form(request, visit, shown, _texts(form), again, 422, first=not done)
        answers, skipped, faults = _read(shown, form, language)
        if faults:
            return self._form(request, visit, shown, _texts(form), faults, 422, first=not done)
        return await self._give(visit, own, opened, answers, skipped)

    async def _give(
        self, visit: Visit, own: str, opened: int, answers: tuple[Answer, ...], skipped: tuple[str, ...]
    ) -> web.StreamResponse:
        now, language = self._means.now(), visit.occasion.language
        seconds = max(1, round((now - opened) / 1000))
        became = await self._answers.give(
            visit.one, Given(f"form:{own}", "page", now, answers, skipped, seconds=min(seconds, FORM_LIFE))
        )
        if became == "duplicate":
            return self._told(language, "page_answered", "page_answered_more", 409)
        if became in ("closed", "gone"):
            return self._told(language, "page_expired", "page_expired_more", 410)
        done = done_of(await self._means.invitations.answers(visit.one))
        tail = "/thanks" if finished(visit.survey, done) else ""
        return web.Response(status=303, headers={**HEADERS, "Location": f"/s/{visit.token}{tail}?lang={language}"})

    async def _thanks(self, request: web.Request, visit: Visit) -> web.Response:
        """Thank who has answered, with their code and the way onward."""
        progress = await self._means.invitations.answers(visit.one)
        if not progress.response.complete:
            raise web.HTTPSeeOther(f"/s/{visit.token}?{urlencode({'lang': visit.occasion.language})}", headers=HEADERS)
        survey, occasion = visit.survey, visit.occasion
        lines, code = [wording(survey.thanks, occasion, "thanks")], ""
        if survey.incentive is not None:
            code = await self._answers.code(survey, visit.one)
            text = survey.incentive.text.said(occasion.language, occasion.values)
            lines.append(text if code else say(occasion.language, "code_later"))
        onward = onward_of(survey, main_score(survey, progress.response.answers))
        return self._page(
            occasion.language,
            200,
            heading=say(occasion.language, "page_done"),
            lines=lines,
            code=code,
            onward={"url": onward[1], "text": wording(onward[0], occasion, "onward")} if onward else None,
            switch=self._switch(request, visit),
        )

    def _from_here(self, request: web.Request) -> bool:
        """Tell whether a form was sent from this site, as far as the browser says."""
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        known = {urlsplit(self._means.settings().public_url).netloc.lower(), request.host.lower()}
        return site == "same-origin" and (origin is None or urlsplit(origin).netloc.lower() in known)

    def _form(  # one page, with all that it shows
        self,
        request: web.Request,
        visit: Visit,
        shown: tuple[Question, ...],
        given: Mapping[str, Any],
        faults: Mapping[str, str],
        status: int,
        *,
        first: bool,
    ) -> web.Response:
        survey, occasion = visit.survey, visit.occasion
        last = not shown or (shown[-1] is survey.questions[-1] and not shown[-1].branch)
        return self._page(
            occasion.language,
            status,
            heading=survey.title.said(occasion.language, occasion.values),
            intro=wording(survey.invitation, occasion, "invitation") if first else "",
            form=True,
            action=f"/s/{visit.token}",
            nonce=self._tokens.form(visit.one.id, shown[0].id, self._means.now()),
            questions=[_asked(each, occasion, given.get(each.id, []), faults.get(each.id, "")) for each in shown],
            errors=bool(faults),
            problem=faults.get("") or say(occasion.language, "page_errors"),
            button=say(occasion.language, "page_button" if last else "page_next"),
            switch=self._switch(request, visit),
        )

    def _switch(self, request: web.Request, visit: Visit) -> list[dict[str, Any]]:
        """Return the links to the page in its other languages."""
        if len(visit.survey.languages) < 2:
            return []
        path = f"/s/{visit.token}" + ("/thanks" if request.path.endswith("/thanks") else "")
        kept = [(name, value) for name, value in request.query.items() if name != "lang"]
        return [
            {
                "lang": one,
                "name": NAMES.get(one[:2], one),
                "url": f"{path}?{urlencode([*kept, ('lang', one)])}",
                "current": one == visit.occasion.language,
            }
            for one in visit.survey.languages
        ]

    def _told(self, language: str, heading: str, more: str, status: int) -> web.Response:
        return self._page(language, status, heading=say(language, heading), lines=[say(language, more)])

    def _page(self, language: str, status: int, **shown: Any) -> web.Response:
        lang = "zh-CN" if language == "zh" else language
        words = WORDS["zh" if language.startswith("zh") else "en"]
        text = _template().render(lang=lang, css=f"/s/{_style()[0]}", words=words, **shown)
        headers = {**HEADERS, "Content-Language": lang}
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=headers)


def _asked(question: Question, occasion: Occasion, given: Any, fault: str) -> dict[str, Any]:
    """Return one question as the page shows it."""
    chosen = [given] if isinstance(given, str) else list(given)
    options = [
        {
            "value": value,
            "number": value if question.kind == "score" else "",
            "label": label(question, value, occasion.language),
            "checked": value in chosen,
            "anchor": f"q-{question.id}-{value}",
        }
        for value in question.values()
    ]
    sparse = question.kind == "score" and not all(one["label"] for one in options)
    labelled = [f"{one['value']} {one['label']}" for one in options if one["label"]]
    return {
        "id": question.id,
        "kind": question.kind,
        "text": question.text.said(occasion.language, occasion.values),
        "required": question.required,
        "options": options,
        "layout": ("row" if len(options) > 6 else "row few") if sparse else "ladder",
        "ends": [labelled[0], labelled[-1]] if sparse and len(labelled) > 1 else [],
        "given": chosen[0][:LONGEST_TEXT] if chosen and question.kind == "text" else "",
        "most": LONGEST_TEXT,
        "error": fault,
        "anchor": f"q-{question.id}-{question.values()[0]}" if options else f"q-{question.id}",
    }


def _read(
    shown: tuple[Question, ...], form: MultiMapping[Any], language: str
) -> tuple[tuple[Answer, ...], tuple[str, ...], dict[str, str]]:
    """Return the answers in a form, the questions that were left out, and what is wrong with it by question."""
    answers: list[Answer] = []
    skipped: list[str] = []
    faults: dict[str, str] = {}
    for question in shown:
        given = [str(one) for one in form.getall(question.id, []) if str(one).strip()]
        if not given:
            if question.required:
                faults[question.id] = say(language, "page_required")
            skipped.append(question.id)
            continue
        try:
            answers.append(Answer(question.id, checked(question, given if question.kind == "choices" else given[0])))
        except Unfit:
            long = question.kind == "text" and len(given[0]) > LONGEST_TEXT
            faults[question.id] = say(language, "page_too_long" if long else "page_required", most=LONGEST_TEXT)
    return tuple(answers), tuple(skipped), faults


def _unchecked(survey: Survey, question: str, form: MultiMapping[Any]) -> tuple[Answer, ...]:
    """Return the answers of a form that comes too late, as far as they are any."""
    start = next((index for index, each in enumerate(survey.questions) if each.id == question), 0)
    shown = tuple(each for each in survey.questions[start:] if each.id in form)
    return _read(shown, form, "en")[0]


def _texts(form: MultiMapping[Any]) -> dict[str, list[str]]:
    return {name: [str(one) for one in form.getall(name)] for name in form if not name.startswith("_")}


@functools.cache
def _template() -> jinja2.Template:
    import jinja2  # noqa: PLC0415  # the daemon starts faster without it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("outbox", "pages"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    return environment.get_template("survey.html")


@functools.cache
def _style() -> tuple[str, str]:
    """Return the name and the text of the style sheet; another text has another name."""
    text = (resources.files("outbox") / "pages" / "survey.css").read_text(encoding="utf-8")
    return f"survey-{hashlib.sha256(text.encode()).hexdigest()[:12]}.css", text
