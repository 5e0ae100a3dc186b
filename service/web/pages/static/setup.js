"use strict";
// Two pages use this: the one that leads to GitHub, and the one that lists what arrives.

for (const form of document.querySelectorAll("form[data-submit]")) form.requestSubmit();

function line(parts) {
  const item = document.createElement("li");
  for (const [tag, text, href] of parts) {
    if (!text) continue;
    const part = document.createElement(tag);
    // As text, whatever somebody has named a branch.
    part.textContent = text;
    if (tag === "span" && href === "state") part.className = "state";
    if (tag === "a" && /^https?:/.test(text)) part.href = text;
    item.append(part, " ");
  }
  return item;
}

function fill(list, items, shape) {
  const empty = document.createElement("li");
  empty.className = "empty";
  empty.textContent = list.dataset.empty;
  list.replaceChildren(...(items.length ? items.map((each) => line(shape(each))) : [empty]));
}

const deliveries = document.querySelector("#deliveries[data-events]");
if (deliveries) {
  const said = document.querySelector("#connection");
  const source = new EventSource(deliveries.dataset.events);
  source.onopen = () => { said.textContent = "Listening."; };
  source.onerror = () => { said.textContent = "The connection broke off; trying again."; };
  source.onmessage = (event) => {
    const arrived = JSON.parse(event.data);
    fill(deliveries, arrived.deliveries, (it) => [
      ["strong", it.action ? `${it.event}.${it.action}` : it.event],
      ["span", it.state, "state"],
      ["span", it.repository],
      ["small", it.verdict],
    ]);
    fill(document.querySelector("#review-apps"), arrived.review_apps, (it) => [
      ["strong", it.pr_number ? `#${it.pr_number}` : it.branch],
      ["span", it.state, "state"],
      ["a", it.web_url],
      ["small", it.reason],
    ]);
  };
}
