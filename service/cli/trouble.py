"""What keeps us from Towpath's answer, each in a sentence of its own with what to do."""

import http.client
import json
import socket
import ssl
from urllib.parse import urlsplit

from service.cli.errors import ApiError, Stop, Unreachable
from service.cli.profile import Profile, from_environment, is_loopback, is_plain

_NOT_US = "what answers there is not Towpath"
# Of OpenSSL: why a certificate is not believed.
_EXPIRED, _OTHER_NAME, _NOT_YET = 10, 62, 9
_NO_ROUTE = "Couldn't find that resource: "


def too_slow(profile: Profile, seconds: float) -> Unreachable:
    """The server took longer than we wait."""
    return Unreachable(
        f"Towpath at {profile.url} gives no answer within {seconds:.0f} s. It may be overloaded, or something on the "
        "way swallows what we send: try again."
    )


def broken(profile: Profile, error: OSError | http.client.HTTPException) -> Unreachable:
    """What went wrong between us and the server."""
    host, cannot = urlsplit(profile.url).hostname or "", f"Cannot reach Towpath at {profile.url}"
    match error:
        case ConnectionRefusedError():
            told = f"{cannot} (connection refused). {_start(host)}"
        case socket.gaierror():
            told = f"{cannot}: no host {host} can be found. Check the name{_in(profile)}, and the network."
        case ssl.SSLCertVerificationError():
            told = _of_certificate(profile.url, host, error)
        case ssl.SSLError():
            told = _of_tls(profile.url, error)
        case ConnectionResetError() | BrokenPipeError() | http.client.IncompleteRead():
            told = (
                f"The connection to Towpath at {profile.url} broke off. If it is being started anew, try again in a "
                f"moment.{_try_https(profile.url)}"
            )
        case http.client.HTTPException():
            told = f"{cannot}: {_NOT_US}.{_try_https(profile.url)}"
        case _:
            told = f"{cannot} ({error.strerror or type(error).__name__}). {_start(host)}"
    return Unreachable(told)


def _start(host: str) -> str:
    if is_loopback(host):
        return "Start it with `towpath up`, or set TOWPATH_URL."
    return "Check that it runs there, and that a firewall lets us in."


def _in(profile: Profile) -> str:
    if profile.name:
        return f" in profile {profile.name}"
    return " in TOWPATH_URL" if from_environment() else ""


def _try_https(url: str) -> str:
    return " Is it https:// there?" if is_plain(url) else ""


def _of_certificate(url: str, host: str, error: ssl.SSLCertVerificationError) -> str:
    match error.verify_code:
        case code if code == _EXPIRED:
            return f"The certificate of {url} has expired: it has to be renewed there. Nothing was sent."
        case code if code == _NOT_YET:
            return f"The certificate of {url} is not valid yet: is this machine's clock right? Nothing was sent."
        case code if code == _OTHER_NAME or "match" in error.verify_message:
            return f"The certificate of {url} is for another name than {host}: use that name. Nothing was sent."
        case _:
            return (
                f"The certificate of {url} is signed by nobody whom this machine trusts ({error.verify_message}). If "
                "it is of an authority of your own, name its file: SSL_CERT_FILE=/path/ca.pem. Nothing was sent."
            )


def _of_tls(url: str, error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
        return f"What listens at {url} does not speak TLS. Is it http:// there?"
    return f"Cannot reach Towpath at {url}: TLS failed ({reason or type(error).__name__})."


def not_json(profile: Profile) -> Unreachable:
    """It answered well, but with something that only others than us say, such as a proxy's page to log in."""
    return Unreachable(
        f"Cannot reach Towpath at {profile.url}: {_NOT_US}, or a proxy in between wants something first. Open the "
        "address in a browser to see what it is."
    )


def refusal(profile: Profile, response: http.client.HTTPResponse, raw: bytes, target: str) -> Stop | None:
    """Why an answer is none: the server's own words, or who else it was that spoke; None for a good one."""
    if response.status < 300:
        return None
    if response.status < 400:
        return _redirect(profile, response)
    try:
        problem = json.loads(raw)
        message, id_ = str(problem["message"]), str(problem["id"])
        going = [str(each) for each in problem.get("review_apps", ())]
    except (ValueError, KeyError, TypeError):
        return _not_ours(profile, response, raw)
    if message.startswith(_NO_ROUTE) or id_ == "method_not_allowed":
        return ApiError(
            f"The server at {profile.url} does not know this yet ({response.status} for {target.partition('?')[0]}): "
            "it is older than this command line. Update it.",
            id_=id_,
            status=response.status,
            target=target,
        )
    if response.status == http.client.UNAUTHORIZED:
        message = f"{message} {_how_to_get_in(profile)}"
    return ApiError(message, id_=id_, status=response.status, target=target, review_apps=going)


def _how_to_get_in(profile: Profile) -> str:
    if profile.name:
        again = f"towpath login {profile.url} --profile {profile.name}"
        return f"The token of profile {profile.name} is not good any more: {again}"
    return "Set TOWPATH_TOKEN, log in with `towpath login URL`, or run as the user who started `towpath up`."


def _redirect(profile: Profile, response: http.client.HTTPResponse) -> Unreachable:
    where = urlsplit(response.getheader("location") or "")
    if where.scheme and where.hostname:
        place = f"{where.scheme}://{where.netloc.rpartition('@')[2]}"
        return Unreachable(f"{profile.url} sends us on to {place}: use that address{_in(profile)}.")
    return Unreachable(f"Cannot reach Towpath at {profile.url}: {_NOT_US} (it redirects, HTTP {response.status}).")


def _not_ours(profile: Profile, response: http.client.HTTPResponse, raw: bytes) -> Stop:
    """An answer without our form: the router's while Towpath starts, a proxy's page, or a bug of ours."""
    if response.getheader("towpath-router"):
        said = " ".join(raw.decode(errors="replace").split())
        return Unreachable(f"{said} ({profile.url})")
    kind = (response.getheader("content-type") or "").partition(";")[0]
    if response.status == http.client.INTERNAL_SERVER_ERROR and kind != "text/html":
        return Stop("The server had an error; its log says which (HTTP 500).")
    by = f", {name}" if (name := _printable(response.getheader("server"))) else ""
    if response.status >= http.client.INTERNAL_SERVER_ERROR:
        return Unreachable(
            f"A proxy before Towpath at {profile.url} got no answer from it (HTTP {response.status}{by}). See that "
            "Towpath runs behind it."
        )
    return Unreachable(
        f"Cannot reach Towpath at {profile.url}: {_NOT_US} (HTTP {response.status}{by}). Check the "
        f"address{_in(profile)}, and what a proxy before Towpath lets through."
    )


def _printable(text: str | None) -> str:
    return "".join(filter(str.isprintable, text or ""))[:40]
