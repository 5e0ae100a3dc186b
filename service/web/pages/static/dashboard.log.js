"use strict";
// Output that goes on: what comes is added as text, and the oldest lines go when there are too many.

const log = document.querySelector("#log[data-events]");
if (log) {
  const AGAIN = 2000;
  const OVER = [401, 403, 404];
  const MOST = 5000;
  const NEAR = 40;
  const said = document.querySelector("#connection");
  // What an app says begins anew with each connection, by its last lines; a build goes on where it was.
  const anew = "anew" in log.dataset;
  let last = "";
  let waiting = [];
  let lines = log.textContent.split("\n").length;

  function put() {
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
    const text = waiting.join("");
    waiting = [];
    log.append(text);
    lines += text.split("\n").length - 1;
    if (lines > MOST * 1.2) {
      const kept = log.textContent.split("\n").slice(-MOST);
      log.textContent = kept.join("\n");
      lines = kept.length;
    }
    if (follows) log.scrollTop = log.scrollHeight;
  }

  function add(text) {
    if (!waiting.length) setTimeout(put, 50);
    waiting.push(text);
  }

  // What becomes of it is on the page, as it would be loaded now; after a build that goes on until it is released.
  async function ended() {
    const outcome = document.querySelector("#outcome");
    if (!outcome) return;
    const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (answer?.ok) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      outcome.replaceChildren(...parsed.querySelector("#outcome").childNodes);
    }
    if (outcome.querySelector(".said.busy, .said.waiting")) setTimeout(ended, AGAIN);
  }

  function address() {
    const url = new URL(log.dataset.events, location.href);
    if (last) url.searchParams.set("after", last);
    return url;
  }

  function connect() {
    const source = new EventSource(address());
    source.addEventListener("begin", () => {
      said.textContent = "Live";
      if (!anew) return;
      waiting = [];
      log.textContent = "";
      lines = 1;
    });
    source.addEventListener("end", () => {
      source.close();
      said.textContent = anew ? "It has ended; load the page to look again" : "It is over";
      ended();
    });
    source.onmessage = (event) => {
      last = event.lastEventId || last;
      add(event.data);
    };
    source.onerror = () => {
      said.textContent = "The connection broke off; trying again";
      // After an answer that is no stream, as while the server is started anew, a browser does not come back by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(reconnect, AGAIN);
    };
  }

  async function reconnect() {
    const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (answer && OVER.includes(answer.status)) location.reload();
    else if (answer?.ok) connect();
    else setTimeout(reconnect, AGAIN);
  }

  log.scrollTop = log.scrollHeight;
  connect();
}
