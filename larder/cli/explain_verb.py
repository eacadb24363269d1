"""`larder explain`: prints what a running endpoint answers for a visitor, and how the answer was made."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import typer

from larder.cli.settings_option import SettingsFile
from larder.jobs.runtime.printable_text import printable
from larder.settings import Settings, SettingsError, load_settings

verbs = typer.Typer()
SECONDS = 5.0


@verbs.command()
def explain(
    cookie: Annotated[str, typer.Option(help="Cookie id of the visitor.")] = "",
    product: Annotated[
        list[str] | None, typer.Option(help="A product that is viewed or in the basket; may be repeated.")
    ] = None,
    location: Annotated[str, typer.Option(help="Location of the visitor.")] = "",
    device: Annotated[str, typer.Option(help="Device of the visitor.")] = "",
    scene: Annotated[str, typer.Option(help="Scene, one of lookup.scenes.")] = "",
    n: Annotated[int, typer.Option(help="Number of products.")] = 10,
    url: Annotated[str, typer.Option(help="URL of the endpoint; default: lookup.host and lookup.port.")] = "",
    settings_file: SettingsFile = None,
) -> None:
    """Show the answer for a visitor and how it was made."""
    settings = load_settings(settings_file)
    asked = {"cookie": cookie, "location": location, "device": device, "scene": scene, "n": str(n), "explain": "1"}
    pairs = [*((name, value) for name, value in asked.items() if value), *(("product", each) for each in product or [])]
    for line in lines(_ask(settings, url, urlencode(pairs))):
        print(printable(line))


def _ask(settings: Settings, url: str, query: str) -> dict[str, Any]:
    base = url or _address(settings)
    keys = settings.lookup.api_keys
    caller = next(iter(settings.lookup.explain_callers or keys), "")
    headers = {"X-API-Key": keys[caller].get_secret_value()} if caller else {}
    try:
        with urlopen(Request(f"{base}/v1/recommendations?{query}", headers=headers), timeout=SECONDS) as response:
            found: dict[str, Any] = json.load(response)
            if "explain" not in found:
                raise ValueError("the answer has no explanation")
            return found
    except HTTPError as error:
        raise SettingsError(f"{base} answers {error.code}: {error.read().decode('utf-8', 'replace')}") from None
    except (URLError, OSError) as error:
        raise SettingsError(f"no endpoint answers at {base}: {error}; start it, or give its URL with --url") from None
    except ValueError as error:
        raise SettingsError(
            f"{base} is not an endpoint of Larder: {error}; give a URL such as http://127.0.0.1:8080"
        ) from None


def _address(settings: Settings) -> str:
    lookup = settings.lookup
    host = f"[{lookup.host}]" if ":" in lookup.host else lookup.host
    return f"{'https' if lookup.tls_certificate else 'http'}://{host}:{lookup.port}"


def lines(answer: dict[str, Any]) -> list[str]:
    """Returns an explained answer as lines of text."""
    found = answer["explain"]
    places: dict[str, list[str]] = {}
    for record in found["records"]:
        places.setdefault(record["route"], []).append(f"{record['key']} {record['field']}")
    told = [
        f"release {answer['release']} of {answer['as_of']}, {answer['age_seconds']} s old; "
        f"request {answer['request_id']}; scene {found['scene']}"
        + ("; from the snapshot on disk" if found["snapshot"] else "")
    ]
    for each in answer["routes"]:
        why = each["reason"] or (f"level {each['level']}" if each["level"] else "")
        told.append(
            f"{each['route']:<9} {each['status']:<8} {why:<20} {', '.join(places.get(each['route'], []))}".rstrip()
        )
    told.append(
        f"{found['masked_products']} products masked for everybody, {found['seen_products']} for this visitor; "
        f"{found['milliseconds']:.2f} ms"
    )
    if found["masks_problem"]:
        told.append(found["masks_problem"])
    told.append("")
    for rank, item in enumerate(answer["items"], 1):
        score = "" if item["score"] is None else f"{item['score']:.5f}"
        told.append(f"{rank:>2}  {item['id']}  {item['route']}  {score}".rstrip())
    return told
