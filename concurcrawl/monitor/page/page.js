// The page of a running crawl. What it shows comes from the web (URLs, tracebacks), so
// text is only ever set as text: no HTML is made of it anywhere.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DASH = "\u2013";
const SAMPLES = 300; // of each chart, about one per second
const LANE = 60; // samples of a lane
const SILENCE_MS = 5000;

let token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
if (token) history.replaceState(null, "", location.pathname); // not for shoulders
let last = null;
let lastNews = 0;
let isOver = false;
let stream = null;
const samples = []; // [elapsed_s, pages, items]
const lanes = new Map();

// Small tools ------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function text(node, value) {
  const words = String(value);
  if (node.textContent !== words) node.textContent = words;
}

/* Keep one child of *parent* for each thing: what is focused or open stays so. */
function keyed(parent, things, keyOf, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  things.forEach((thing, place) => {
    const key = String(keyOf(thing, place));
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = make(thing);
      child.dataset.key = key;
    }
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] || null);
    update(child, thing);
  });
  for (const child of old.values()) child.remove();
}

const count = new Intl.NumberFormat("en-US");
const whole = (n) => (n === null || n === undefined ? DASH : count.format(n));
const per_s = (n) => (n === null || n === undefined ? DASH : n < 10 ? n.toFixed(1) : whole(Math.round(n)));

function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const s = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const rest = `${hours ? two(Math.floor((s % 3600) / 60)) : Math.floor(s / 60)}:${two(s % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

function bytes(n) {
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} kB`;
  return n < 1e9 ? `${(n / 1e6).toFixed(0)} MB` : `${(n / 1e9).toFixed(2)} GB`;
}

const sum = (numbers) => Object.values(numbers).reduce((a, b) => a + b, 0);

function urlNode(url) {
  if (!/^https?:\/\//i.test(url)) return document.createTextNode(url);
  return Object.assign(el("a", { rel: "noreferrer noopener", target: "_blank" }, url), { href: url });
}

function rows(id, things, keyOf, cells, empty) {
  const body = $(id);
  if (!things.length) {
    const columns = body.parentElement.querySelectorAll("th").length;
    keyed(body, [empty], () => "none", () => el("tr", {}, el("td", { colspan: columns, class: "empty" })),
      (row, words) => text(row.firstChild, words));
    return;
  }
  keyed(body, things, keyOf, () => el("tr"), (row, thing) => {
    cells(thing).forEach(([value, kind], place) => {
      const cell = row.children[place] || row.appendChild(el("td", kind ? { class: kind } : {}));
      if (kind === "url") {
        if (cell.textContent !== value) cell.replaceChildren(urlNode(value));
      } else text(cell, value);
    });
  });
}

// What is shown ----------------------------------------------------------------------

const WORDS = {
  running: "running", paused: "paused", waiting: "waiting", stalled: "stalled",
  closing: "closing", finished: "finished", killed: "killed", gone: "gone",
};

/* Nothing runs any more: what its workers did last is no news. */
const isGone = (s) => isOver || s.state === "killed" || s.state === "gone";

function showHead(s) {
  text($("spider"), s.spider);
  document.title = `${s.spider} ${s.state} ${DASH} concurcrawl`;
  const parts = [s.mode ? `MODE=${s.mode}` : "no MODE", s.job, duration(s.elapsed_s)];
  text($("about"), parts.filter(Boolean).join(" \u00b7 "));
  state(s.state);
  const paused = s.state === "paused";
  text($("pause"), paused ? "Resume" : "Pause");
  $("buttons").hidden = !s.can_steer || isOver || s.state === "killed";
  $("pause").disabled = $("stop").disabled = isOver || ["closing", "killed"].includes(s.state);
  note(s);
}

function state(name) {
  const badge = $("state");
  if (badge.textContent === name) return;
  badge.className = `badge ${name}`;
  text(badge, name);
  text($("said"), `The crawl is ${WORDS[name] || name}.`);
}

function note(s) {
  const box = $("note");
  const words = {
    paused: "The crawl is paused. Requests that had begun are finished; no new one starts.",
    waiting: "All sites that are left have asked for a pause. The crawl goes on by itself.",
    stalled: s.reason
      ? "The crawl ended because nothing in it moved any more. The log says what each request waited for."
      : `Nothing was done for ${duration(s.still_s)} although requests are in progress: the workers below say which. `
        + "CONCURCRAWL_STALL_TIMEOUT_S would end the crawl after a time.",
    closing: "The crawl ends: it finishes what is in progress and writes its feeds.",
    finished: `The crawl has ended${s.reason ? ` (${s.reason})` : ""}. These are its last values.`
      + (s.records && !s.report ? ` For a report of its requests: concurcrawl report ${s.records}` : ""),
    gone: "No node of this job is live, and it has not ended. Start a node to resume it.",
    killed: "The crawl was killed: its process is gone. With a JOBDIR the same command resumes it.",
  }[s.state];
  box.hidden = !words;
  const kind = { stalled: "bad", killed: "bad", gone: "bad", finished: "good" }[s.state];
  box.className = `note ${kind || ""}`;
  text($("note-text"), words || "");
  $("note-link").hidden = !s.report;
  if (s.report) $("note-link").href = s.report;
}

function showProgress(s) {
  const p = s.progress;
  const known = p.waiting === null ? null : p.done + p.leased + p.waiting;
  const share = (n) => `${known ? (100 * n) / known : 0}%`;
  $("bar-done").style.width = share(p.done);
  $("bar-leased").style.width = share(p.leased);
  const percent = known ? Math.round((100 * p.done) / known) : 0;
  $("bar").setAttribute("aria-valuenow", percent);
  const more = p.is_starting ? ", and start requests are still to come" : "";
  text($("bar-text"), known === null ? `${whole(p.done)} done`
    : `${whole(p.done)} of ${whole(known)} known requests are done (${percent} %)${more}`);
  const tiles = [
    ["Time left", duration(s.state === "paused" ? null : p.left_s)], ["Pages", whole(p.pages)], ["Items", whole(p.items)],
    ["Waiting", whole(p.waiting)], ["In progress", whole(p.leased)],
    ["Errors", whole(sum(s.counts.errors)), sum(s.counts.errors) > 0],
    ["Retries", whole(sum(s.counts.retries))], ["Pauses", whole(s.counts.pauses)],
    ["Dead-lettered", whole(s.counts.dead_letters), s.counts.dead_letters > 0],
    ["Worker restarts", whole(s.counts.restarts), s.counts.restarts > 0],
    ["Memory", s.processes.length ? bytes(s.memory_bytes) : DASH],
  ];
  keyed($("tiles"), tiles, (t) => t[0], (t) => el("div", {}, el("dt", {}, t[0]), el("dd")), (tile, t) => {
    text(tile.lastChild, t[1]);
    tile.lastChild.className = t[2] ? "bad" : "";
  });
}

function rates(column) {
  const found = [];
  for (let i = 1, from = 0; i < samples.length; i++) {
    while (samples[i][0] - samples[from][0] > 3.5 && from < i - 1) from++;
    const span = samples[i][0] - samples[from][0];
    found.push([samples[i][0], span > 0 ? Math.max(0, (samples[i][column] - samples[from][column]) / span) : 0]);
  }
  return found;
}

function nice(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1e-9)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= n) || 1;
}

function chart(id, column, what, now) {
  const figure = $(id);
  if (!figure.firstChild) {
    const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
    for (const y of [0, 50, 100]) picture.append(svg("line", { class: "grid", x1: 0, x2: 100, y1: y, y2: y }));
    picture.append(svg("path", { class: "area" }), svg("path", { class: "line" }));
    figure.append(picture, el("span", { class: "top" }), el("div", { class: "times" }, el("span"), el("span", {}, "now")));
  }
  const points = rates(column);
  const [picture, top, times] = figure.children;
  const highest = nice(Math.max(0.1, ...points.map((point) => point[1])));
  const end = points.length ? points[points.length - 1][0] : 0;
  const start = points.length ? points[0][0] : 0;
  const x = (t) => (end > start ? (100 * (t - start)) / (end - start) : 100).toFixed(2);
  const y = (v) => (100 - (100 * v) / highest).toFixed(2);
  const line = points.map(([t, v]) => `${x(t)},${y(v)}`).join("L");
  picture.querySelector(".line").setAttribute("d", line ? `M${line}` : "");
  picture.querySelector(".area").setAttribute("d", line ? `M0,100L${line}L100,100Z` : "");
  picture.setAttribute("aria-label", `${what} over the last ${duration(end - start)}, at most ${per_s(highest)}`);
  text(top, per_s(highest));
  text(times.firstChild, points.length ? `${duration(end - start)} ${isOver ? "before" : "ago"}` : "");
  text(times.lastChild, isOver ? "end" : "now");
  text($(now[0]), now[1] === null ? "" : per_s(now[1]));
}

function mainPhase(worker) {
  if (worker.state === "blocked") return "blocked";
  const phases = worker.doing.map((one) => one.phase);
  return ["callback", "downloads", "waits", "held"].find((phase) => phases.includes(phase)) || "none";
}

function makeLane(worker) {
  const picture = svg("svg", { viewBox: `0 0 ${LANE} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (let i = 0; i < LANE; i++) picture.append(svg("rect", { class: "none", x: i, y: 0, width: 1.02, height: 1 }));
  return el("li", {}, el("div", { class: "who" }, el("b", {}, worker.name), el("span")), picture, el("ul", { class: "doing" }));
}

const PHASES = { callback: "in", downloads: "downloads", waits: "waits for its site", held: "has" };

function showWorkers(s) {
  if (isOver && !(s.workers.length && lanes.size)) return; // nothing was seen of them
  const measured = new Map(s.processes.map((one) => [one.name, one]));
  keyed($("workers"), s.workers, (w) => w.name, makeLane, (lane, worker) => {
    const [who, picture, doing] = lane.children;
    const seen = lanes.get(worker.name) || Array(LANE).fill("none");
    lanes.set(worker.name, seen);
    seen.push(isGone(s) ? "none" : mainPhase(worker));
    seen.shift();
    seen.forEach((phase, i) => picture.children[i].setAttribute("class", phase));
    const process = measured.get(worker.name);
    const takes = process ? `${bytes(process.memory_bytes)}, ${cpu(process)}` : "";
    const says = worker.state === "blocked" ? `blocked ${duration(worker.silent_s)}` : worker.state;
    const where = s.workers.some((one) => one.host !== worker.host) ? worker.host : "";
    text(who.lastChild, [`${says}, ${worker.in_flight} in flight`, takes, where].filter(Boolean).join(", "));
    if (isGone(s)) {
      text(who.lastChild, process ? bytes(process.memory_bytes) : "");
      doing.replaceChildren();
      return;
    }
    const shown = worker.doing.length ? worker.doing.slice(0, 4) : [{ phase: "", url: "", callback: "" }];
    keyed(doing, shown, (_, place) => place, () => el("li", {}, el("em"), document.createTextNode("")), (item, one) => {
      const word = one.phase === "callback" ? `in ${one.callback}() ` : `${PHASES[one.phase] || "nothing to do"} `;
      text(item.firstChild, word);
      item.lastChild.data = one.url;
      item.title = one.url;
    });
  });
  for (const name of lanes.keys()) if (!s.workers.some((worker) => worker.name === name)) lanes.delete(name);
}

const cpu = (process) => (process.cpu === null || isOver ? DASH : `${Math.round(100 * process.cpu)}\u00a0% CPU`);

function showGroups(s) {
  keyed($("groups"), s.groups.length ? [...s.groups].sort((a, b) => (a.name < b.name ? -1 : 1)) : [null], (g) => (g ? g.name : ""), (group) => {
    if (!group) return el("tr", {}, el("td", { colspan: 6, class: "empty" }, "No request waits or is in flight."));
    const button = el("button", { type: "button", class: "small", "aria-label": `Limits of ${group.name}` }, "Limits\u2026");
    button.addEventListener("click", () => askLimits(group.name));
    return el("tr", {}, el("td", {}, group.name), el("td", { class: "wide" }, el("span"), el("div", { class: "fill" }, el("div"))),
      el("td", { class: "n", "data-label": "Waiting" }), el("td", { class: "n", "data-label": "Delay" }),
      el("td", { class: "why", "data-label": "Paused" }), el("td", { class: "limits" }, button));
  }, (row, group) => {
    if (!group) return;
    const [, flight, waiting, delay, paused, limits] = row.children;
    const limit = group.limit < 0 ? 0 : group.limit;
    text(flight.firstChild, group.limit === 0 ? `${group.in_flight}, no limit` : `${group.in_flight} of ${limit}`);
    if (isGone(s)) text(flight.firstChild, "none in flight");
    flight.lastChild.hidden = group.limit === 0 || isGone(s); // there is nothing to fill
    flight.lastChild.firstChild.style.width = `${group.limit > 0 ? Math.min(100, (100 * group.in_flight) / limit) : 0}%`;
    text(waiting, group.waiting >= 1000 && !s.nodes.length ? "1,000 or more" : whole(group.waiting));
    text(delay, group.delay_s ? `${+group.delay_s.toFixed(2)} s` : "");
    text(paused, group.paused_s ? `${duration(group.paused_s)} more: ${group.why}` : "");
    paused.className = group.paused_s ? "why paused" : "why";
    limits.firstChild.hidden = !s.can_steer || isOver;
  });
  text($("groups-more"), s.more_groups ? `${whole(s.more_groups)} more sites have requests that wait.` : "");
}

function showTables(s) {
  $("nodes-section").hidden = !s.nodes.length;
  rows("nodes", s.nodes, (n) => n.name, (n) => [
    [n.name], [n.state], [n.host], [whole(n.workers), "n"], [whole(n.leased), "n"], [whole(n.done), "n"], [whole(n.restarts), "n"],
    [n.silent_s === null ? DASH : `${Math.max(0, Math.round(n.silent_s))} s ago`, "n"],
  ], "");
  rows("slowest", s.slowest.slice(0, 10), (u, i) => i,
    (u) => [[u.latency_s.toFixed(2), "n"], [u.status, "n"], [u.url, "url"]], "Nothing was measured yet.");
  rows("failing", s.failing.slice(0, 10), (u, i) => i,
    (u) => [[whole(u.times), "n"], [u.reason, "reason"], [u.url, "url"]], "Nothing has failed.");
  rows("processes", s.processes, (p) => p.pid,
    (p) => [[p.name], [p.pid, "n"], [bytes(p.memory_bytes), "n"], [cpu(p), "n"]], "Not measured yet.");
  $("feeds-section").hidden = !s.feeds.length;
  rows("feeds", s.feeds, (f) => f.uri, (f) => [[f.uri], [isGone(s) ? DASH : whole(f.items), "n"], [isGone(s) ? DASH : bytes(f.size_bytes), "n"]], "");
}

function showErrors(s) {
  keyed($("errors"), s.errors.length ? s.errors.slice(0, 12) : [null], (e) => (e ? e.number : "none"), (error) => {
    if (!error) return el("p", { class: "empty" }, "None.");
    const at = new Date(error.at_s * 1000);
    const time = el("time", { datetime: at.toISOString() }, at.toLocaleTimeString("en-GB"));
    const reason = error.traceback.trim().split("\n").pop();
    const head = [time, error.message.split("\n", 1)[0].slice(0, 300), el("span", { class: "reason" }, reason.slice(0, 300))];
    const all = [error.message, error.traceback].filter(Boolean).join("\n");
    return el("details", {}, el("summary", {}, ...head), el("pre", { tabindex: 0 }, `[${error.logger}] ${all}`));
  }, () => {});
}

function show(s) {
  if (s.errors === null) s.errors = last.errors; // the same as before
  last = s;
  const before = samples[samples.length - 1];
  if (!before || s.elapsed_s > before[0]) samples.push([s.elapsed_s, s.progress.pages, s.progress.items]);
  if (samples.length > SAMPLES) samples.shift();
  showHead(s);
  showProgress(s);
  chart("chart-pages", 1, "Pages per second", ["pages-now", isOver ? null : s.progress.pages_per_s]);
  chart("chart-items", 2, "Items per second", ["items-now", isOver ? null : s.progress.items_per_s]);
  showWorkers(s);
  showGroups(s);
  showTables(s);
  showErrors(s);
  // What only the nodes of a job know must not look as if there were none of it.
  const isOutside = s.nodes.length > 0 && !s.workers.length;
  for (const head of ["workers", "slow", "failing", "errors"]) $(`h-${head}`).parentElement.hidden = isOutside;
  $("h-processes").parentElement.hidden = (isOutside || isOver) && !s.processes.length;
  if (isOver && !$("workers").children.length) $("h-workers").parentElement.hidden = true;
  document.documentElement.dataset.ready = "yes";
}

// Events -----------------------------------------------------------------------------

function take(block) {
  let kind = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (!data) return;
  const told = JSON.parse(data);
  if (kind !== "history" || !lastNews) { // the history comes though the crawl is lost
    lastNews = Date.now();
    text($("news"), "");
  }
  if (kind === "history") samples.splice(0, samples.length, ...told);
  else {
    isOver = kind === "end";
    show(told);
  }
}

function takeSafely(block) {
  try {
    take(block);
  } catch (error) {
    reportError(error); // into the console: a mistake here is no lost connection
  }
}

async function read() {
  stream = new AbortController();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch("events", { headers, signal: stream.signal, cache: "no-store" });
  if (answer.status === 401) {
    await askToken();
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(takeSafely);
  }
}

const shown = () => new Promise((resolve) => {
  if (!document.hidden) resolve();
  else document.addEventListener("visibilitychange", resolve, { once: true });
});

async function listen() {
  while (!isOver) {
    await shown(); // a hidden page costs the crawl nothing
    try {
      await read();
    } catch {
      // The crawl is gone or busy, or the page was hidden; the next turn says which.
    }
    if (isOver) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) stream.abort();
});

setInterval(() => {
  const silent = Date.now() - lastNews;
  if (isOver || document.hidden || !lastNews || silent < SILENCE_MS) return;
  state("lost");
  text($("news"), `no news for ${Math.round(silent / 1000)} s: the crawl's process is busy or gone`);
}, 1000);

// Steering ---------------------------------------------------------------------------

/* Show a dialog with fields; resolve to their values, or null if it was cancelled. */
function ask(title, words, fields, yes) {
  text($("ask-title"), title);
  text($("ask-text"), words);
  text($("ask-yes"), yes);
  text($("ask-wrong"), "");
  $("ask-fields").replaceChildren(...fields.map(([name, label, attributes]) =>
    el("label", {}, label, el("input", { name, autocomplete: "off", ...attributes }))));
  const dialog = $("ask");
  dialog.showModal();
  return new Promise((resolve) => {
    const close = (value) => {
      $("ask-form").onsubmit = $("ask-no").onclick = dialog.oncancel = null;
      if (dialog.open) dialog.close();
      resolve(value);
    };
    $("ask-form").onsubmit = (event) => {
      event.preventDefault();
      close(Object.fromEntries(new FormData($("ask-form"))));
    };
    $("ask-no").onclick = () => close(null);
    dialog.oncancel = () => close(null);
  });
}

async function askToken() {
  const said = await ask("Token", "Steering the crawl needs the token that its log shows.",
    [["token", "Token", { type: "password", required: "" }]], "Go on");
  if (said) token = said.token;
  return Boolean(said);
}

async function steer(path, body = {}) {
  if (!token && !(await askToken())) return;
  try {
    const answer = await fetch(path, {
      method: "POST", body: JSON.stringify(body),
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    });
    if (answer.ok) return;
    if (answer.status === 401) token = "";
    const said = await answer.json().catch(() => ({}));
    tell(said.error || `The crawl answered ${answer.status}.`);
  } catch {
    tell("The crawl does not answer.");
  }
}

function tell(words) {
  text($("said"), words);
  text($("news"), words);
}

async function askLimits(group) {
  const said = await ask(`Limits of ${group}`, "Empty fields stay as they are. What the profile of a site forbids stays forbidden.", [
    ["in_flight", "Requests in flight", { type: "number", min: 1, step: 1 }],
    ["delay_s", "Seconds between two requests", { type: "number", min: 0, step: "any" }],
  ], "Set");
  if (!said) return;
  const body = { group };
  if (said.in_flight) body.in_flight = Number(said.in_flight);
  if (said.delay_s) body.delay_s = Number(said.delay_s);
  await steer("v1/limits", body);
}

$("pause").addEventListener("click", () => steer(last && last.state === "paused" ? "v1/resume" : "v1/pause"));
$("stop").addEventListener("click", async () => {
  const said = await ask("Stop the crawl?", "It finishes the requests in progress and ends. With JOBDIR it can be resumed.", [], "Stop");
  if (said) await steer("v1/stop");
});

listen();
