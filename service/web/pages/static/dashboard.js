"use strict";
// Three things: a part of the page that looks again when it is told to, menus that close, and times that go on.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function ago(moment) {
  const seconds = Math.max(0, Math.floor((Date.now() - moment) / 1000));
  for (const [length, unit] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
  return "just now";
}

setInterval(() => {
  for (const time of document.querySelectorAll("time")) time.textContent = ago(Date.parse(time.dateTime));
}, 30000);

// A menu closes by Escape, and once something outside of it is clicked or gets the focus.
function closeMenus(but) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(but)) menu.open = false;
}
for (const event of ["click", "focusin"]) document.addEventListener(event, ({ target }) => closeMenus(target));
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  closeMenus(null);
});

const columns = document.querySelector("#columns");
if (columns) {
  const AGAIN = 2000;
  const OVER = [401, 403, 404];
  const said = document.querySelector("#connection");
  const shown = () => columns.querySelector("[data-digest]").dataset.digest;
  let wanted = shown();
  let looking = false;

  function put(html) {
    const focused = columns.contains(document.activeElement) && document.activeElement.id;
    const open = [...columns.querySelectorAll("details[open]")].map((it) => it.id);
    const parsed = new DOMParser().parseFromString(html, "text/html");
    columns.replaceChildren(...parsed.body.children);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // True when what there is now is shown.
  async function look() {
    const answer = await fetch(columns.dataset.part, { cache: "no-store" }).catch(() => null);
    // Signed out, or nothing to be seen any more: the page itself says which.
    if (answer && OVER.includes(answer.status)) location.reload();
    if (!answer?.ok) return false;
    put(await answer.text());
    return true;
  }

  async function follow() {
    if (looking) return;
    looking = true;
    while (wanted !== shown()) {
      const told = wanted;
      const done = await look();
      // What came may be newer than what we were told of, and is told of next.
      if (done && told === wanted) wanted = shown();
      if (!done) await new Promise((wake) => setTimeout(wake, AGAIN));
    }
    looking = false;
  }

  function connect() {
    const source = new EventSource(columns.dataset.events);
    source.onopen = () => { said.textContent = "Live"; };
    source.onmessage = (event) => { wanted = event.data; follow(); };
    source.onerror = () => {
      said.textContent = "The connection broke off; trying again";
      // After an answer that is no stream, as while the server is started anew, a browser does not come back by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(reconnect, AGAIN);
    };
  }

  async function reconnect() {
    if (await look()) connect();
    else setTimeout(reconnect, AGAIN);
  }

  connect();
}
