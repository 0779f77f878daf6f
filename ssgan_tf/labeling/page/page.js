"use strict";

// What is shown: the answer of the server to the last request, see session.py.
let state = null;
// Keys do nothing until the next image is there: nobody labels what they have not seen.
let busy = true;
// Whether the image of `state` is on the screen: only then it gets a label.
let shown = false;
let finished = false;
let asked = false; // whether to finish although images are left
// Answers and skips of this window, which are undone in turn; a reload keeps them.
const STORED = `undo ${location.pathname}`;
const steps = JSON.parse(sessionStorage.getItem(STORED) || "[]");
const images = new Map(); // number -> promise of the image, for the next one
const $ = (id) => document.getElementById(id);

class Refused extends Error {
  constructor(content) {
    super(content.error);
    this.content = content;
  }
}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The program does not answer. If it has ended, start it again and open its new address.");
  }
  if (response.ok) return response;
  throw new Refused(await response.json());
}

function image(index) {
  if (!images.has(index)) {
    const found = ask(`image/${index}`).then((response) => response.blob());
    found.catch(() => images.delete(index));
    images.set(index, found);
  }
  return images.get(index);
}

function note(text, warning = false) {
  $("note").textContent = text;
  $("note").className = warning ? "warning" : "";
}

function remember() {
  sessionStorage.setItem(STORED, JSON.stringify(steps.slice(-500)));
  $("undo").disabled = !steps.length;
}

// Runs one action at a time, and says what went wrong.
async function act(action) {
  if (busy || finished) return;
  busy = true;
  try {
    await action();
  } catch (error) {
    note(error.message, true);
    if (!(error instanceof Error)) throw error;
  }
  busy = false;
}

const next = async (index) => (await ask(`state?after=${index}`)).json();

// Shows an image, or the next one that can be shown.
async function show(found) {
  const failed = new Set(); // numbers of images that this browser cannot show
  for (;;) {
    shown = false;
    state = found;
    asked = false;
    describe();
    if (!state.image) return;
    const { index, following } = state.image;
    try {
      if (failed.has(index)) return; // no other one is left
      const blob = await image(index);
      const picture = $("picture");
      URL.revokeObjectURL(picture.src);
      picture.src = URL.createObjectURL(blob);
      await picture.decode().catch(() => {
        failed.add(index);
        images.delete(index);
        throw new Refused({ error: "cannot be shown by this browser" });
      });
      fit();
      picture.classList.remove("waiting");
      for (const number of images.keys()) if (number !== index) images.delete(number);
      if (following !== null && following !== index) image(following);
      shown = true;
      return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      note(`${state.image.path} ${error.message}; skipped.`, true);
      found = await next(index);
    }
  }
}

function fit() {
  const picture = $("picture");
  const { width, height } = $("frame").getBoundingClientRect();
  const factor = Math.min(width / picture.naturalWidth, height / picture.naturalHeight);
  picture.classList.toggle("tiny", factor >= 2);
}

function describe() {
  const one = state.image;
  $("count").textContent = `${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")} labeled`;
  $("bar").value = state.done / state.total;
  document.title = `${state.done} of ${state.total} labeled`;
  $("problems").replaceChildren(...state.problems.map((text) => element("li", text)));
  $("stage").hidden = !one;
  $("end").hidden = Boolean(one);
  document.body.classList.toggle("ended", !one);
  for (const part of [".search", "#classes", "#guess", "#skip"]) document.querySelector(part).hidden = !one;
  remember();
  if (!one) return describeEnd();
  $("picture").classList.add("waiting");
  $("picture").alt = `Image ${one.path}`;
  $("about").textContent = one.path;
  const guess = $("guess");
  guess.replaceChildren();
  if (one.predicted) {
    const sure = one.probability === null ? "" : `, ${Math.round(100 * one.probability)}%`;
    guess.append("Taken for ", element("strong", one.predicted), sure);
    guess.append(" ", element("kbd", "Enter"));
    if (one.reason) guess.append(element("br"));
  }
  if (one.reason) guess.append(element("span", one.reason, "soft"));
  if (one.label) guess.append(element("br"), `Labeled ${one.label} now.`);
  if (document.activeElement !== $("search")) $("search").value = "";
  list();
}

function describeEnd() {
  const left = state.total - state.done;
  $("end_title").textContent = left ? "No image is left to show" : `All ${state.total} images are labeled`;
  $("end_text").textContent = "Press Finish to see what to type next.";
  $("finish").focus();
}

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const typed = () => $("search").value.trim().normalize("NFC");

const begins = (name) => name.toLowerCase().startsWith(typed().toLowerCase());

// The classes that fit what was typed: those that begin with it first.
function matches() {
  const wanted = typed().toLowerCase();
  if (!wanted) return state.classes;
  const found = state.classes.filter((name) => name.toLowerCase().includes(wanted));
  const rank = (name) => [name === typed(), name.toLowerCase() === wanted, begins(name)].indexOf(true) + 1 || 4;
  return found.sort((a, b) => rank(a) - rank(b));
}

const isKnown = (name) => state.classes.some((known) => known.toLowerCase() === name.toLowerCase());

// Key -> class. A class that is called like a key has it; the others get those that are left.
function keys() {
  const digits = state.classes.filter((name) => /^[0-9]$/.test(name));
  const left = [..."1234567890"].filter((key) => !digits.includes(key));
  const others = state.classes.filter((name) => !digits.includes(name)).slice(0, left.length);
  return new Map([...digits.map((name) => [name, name]), ...others.map((name, place) => [left[place], name])]);
}

function list() {
  const text = typed();
  const found = matches();
  const keyOf = new Map([...keys()].map(([key, name]) => [name, key]));
  const buttons = found.map((name) => {
    const button = element("button");
    const key = keyOf.get(name);
    if (!text && key) {
      const shown = element("kbd", key);
      shown.setAttribute("aria-hidden", "true");
      button.append(shown);
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.append(element("span", name));
    button.addEventListener("click", () => act(() => answer(name)));
    return button;
  });
  if (text && !isKnown(text)) {
    const button = element("button");
    button.append(element("span", `New class “${text}”`));
    button.addEventListener("click", () => act(() => answer(text)));
    // The first button is what Enter takes; a class that only has the text within is not meant.
    if (found.length && begins(found[0])) buttons.push(button);
    else buttons.unshift(button);
  }
  for (const button of buttons) button.type = "button";
  if (text) buttons[0].classList.add("taken");
  $("classes").replaceChildren(...buttons);
  $("search").placeholder = state.classes.length ? "" : "There is no class yet: name the first";
  $("chosen").textContent = text ? `Enter: ${buttons[0].lastElementChild.textContent}` : "";
}

async function answer(label) {
  if (!shown) {
    await show(state);
    if (shown) note("The image was not on the screen before. Answer now.", true);
    return;
  }
  const { index, label: before } = state.image;
  let found;
  try {
    found = await (await ask("answer", { index, label, before })).json();
  } catch (error) {
    if (!(error instanceof Refused) || error.content.label === undefined) throw error;
    const now = error.content.label;
    const text = now ? `was labeled ${now} in another window` : "has lost its label in another window";
    leaveSearch();
    await show(now ? await next(index) : await (await ask(`state?at=${index}`)).json());
    note(`The image ${text}; that was kept.`, true);
    return;
  }
  steps.push({ index, label: found.written, had: found.had });
  leaveSearch();
  note(`Labeled ${found.written}.`);
  await show(found);
}

async function skip() {
  const { index } = state.image;
  const found = await next(index);
  if (found.image && found.image.index === index) {
    note("This is the only image that is left.");
    return;
  }
  steps.push({ index });
  leaveSearch();
  note(found.image && found.image.index < index ? "From the start again: images that were skipped." : "Skipped.");
  await show(found);
}

async function undo() {
  const last = steps.at(-1);
  if (!last) return;
  let found;
  try {
    const { index, label, had } = last;
    const request = label ? ask("answer", { index, label: had, before: label }) : ask(`state?at=${index}`);
    found = await (await request).json();
    note(label ? `Undone: ${label}.` : "Back to the image that was skipped.");
  } catch (error) {
    if (!(error instanceof Refused) || error.content.label === undefined) throw error;
    found = await (await ask(`state?at=${last.index}`)).json();
    note("Its label was changed in another window; that was kept.", true);
  }
  steps.pop();
  leaveSearch();
  await show(found);
}

async function finish() {
  if (state?.image && !asked) {
    asked = true;
    note("Images are left. Press Finish again to end here; labels that were given are kept.");
    return;
  }
  note("Looking at the folder.");
  const result = await (await ask("finish", {})).json();
  finished = true;
  for (const id of ["stage", "choice", "finish"]) $(id).hidden = true;
  $("end").hidden = false;
  document.body.classList.add("ended");
  $("end_title").textContent = "Finished";
  const labels = result.labels === 1 ? "1 label" : `${result.labels.toLocaleString("en")} labels`;
  const needs = result.lacks ? ` Training cannot start yet: ${result.lacks}` : "";
  const when = result.now ? "Type next:" : "After that, type:";
  $("end_text").textContent = `This page can be closed. ${result.table} has ${labels}.${needs} ${when}`;
  $("end_command").textContent = result.next;
  $("end_command").hidden = $("copy").hidden = false;
  $("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(result.next);
    $("copy").textContent = "Copied";
  });
  $("end").focus();
}

function leaveSearch() {
  $("search").value = "";
  // Keys are for the image again, also where a button was pressed that is gone.
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  $("stage").focus({ preventScroll: true });
}

function onSearchKey(event) {
  if (event.key === "Escape") {
    leaveSearch();
    list();
  } else if (event.key === "Enter" && typed()) {
    $("classes").firstElementChild.click();
  } else if (event.key === "ArrowDown") {
    $("classes").firstElementChild?.focus();
  } else {
    return;
  }
  event.preventDefault();
}

function onArrow(event) {
  const buttons = [...$("classes").children];
  const place = buttons.indexOf(document.activeElement);
  if (place < 0) return false;
  const target = buttons[place + (event.key === "ArrowDown" ? 1 : -1)];
  (target || $("search")).focus();
  return true;
}

function onKey(event) {
  if (finished || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (event.target === $("search")) return onSearchKey(event);
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const onButton = document.activeElement.closest("button, summary");
  if (key === "f") act(finish);
  else if (key === "u" || key === "Backspace") act(undo);
  else if (!state?.image) return;
  else if (key === "s" || key === "ArrowRight") act(skip);
  else if (key === "/") $("search").focus();
  else if (key === "Enter" && !onButton && state.image.predicted) act(() => answer(state.image.predicted));
  else if (keys().has(key)) act(() => answer(keys().get(key)));
  else if ((key === "ArrowDown" || key === "ArrowUp") && onArrow(event)) {
    // done
  } else return;
  event.preventDefault();
}

document.addEventListener("keydown", onKey);
$("search").addEventListener("input", list);
$("undo").addEventListener("click", () => act(undo));
$("skip").addEventListener("click", () => act(skip));
$("finish").addEventListener("click", () => act(finish));
addEventListener("resize", fit);

document.querySelector("details").open = matchMedia("(min-width: 46rem) and (min-height: 40rem)").matches;
busy = false;
act(async () => show(await next(-1)));
