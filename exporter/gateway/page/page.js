"use strict";
// One page to try the models of a gateway. No library, nothing from elsewhere; state is in the controls, in the
// address's fragment (settings, never a prompt) and in localStorage (history).

const $ = (id) => document.getElementById(id);
const HISTORY = "genserve.history", MOST = 50, OF_IDS = ["generate_tokens", "resume"];
let models = [], panes = [], turns = [], running = null;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const headers = () => ({ "Content-Type": "application/json", ...($("key").value ? { Authorization: `Bearer ${$("key").value}` } : {}) });

class Pane {
  constructor(number, settings) {
    this.root = $("pane").content.firstElementChild.cloneNode(true);
    this.find = (query) => this.root.querySelector(query);
    this.find("h2").textContent = number ? "Settings B" : "Settings A";
    this.name = number ? "B" : "A";
    this.form = this.find("form");
    this.find("[name=model]").append(...models.map((model) => element("option", { value: model.id, textContent: model.id })));
    this.find("[name=model]").addEventListener("change", () => this.choose({}));
    this.find("[name=mode]").addEventListener("change", () => this.choose(this.settings()));
    this.find(".copy").addEventListener("click", () => copy(this.source(this.find("[name=language]").value)));
    this.find(".options").addEventListener("input", () => this.offer());
    this.find(".answer").setAttribute("aria-label", `Answer ${this.name}`);
    if (models.some((model) => model.id === settings.model)) this.find("[name=model]").value = settings.model;
    this.choose(settings);
  }

  get model() { return models.find((model) => model.id === this.find("[name=model]").value); }
  get mode() { return this.model.modes[this.find("[name=mode]").selectedIndex]; }
  get isChat() { return this.mode.mode === "chat"; }

  choose(settings) {
    const model = this.model, values = model.modes.map(({ mode, signature }) => signature ? `${mode}:${signature}` : mode);
    this.find("[name=mode]").replaceChildren(...model.modes.map(({ mode, signature, chosen }, place) =>
      element("option", { value: values[place], textContent: signature ? `${mode}: ${signature}` : `${mode} (${chosen})` })));
    if (values.includes(settings.mode)) this.find("[name=mode]").value = settings.mode;
    this.find(".facts").textContent = `version ${model.version}; prompts up to ${model.longest_prompt} tokens; ` +
      (model.streams ? "streams in pieces" : "answers in one piece") + (model.logprobs === null ? "" : `; ${model.logprobs} alternatives a token`);
    this.find(".options").replaceChildren(...this.controls(model, settings));
    chatControls();
    this.offer();
  }

  controls(model, settings) {
    const number = (name, hint, extra) => element("label", {}, name,
      element("input", { name, type: "number", value: settings[name] ?? "", ...extra }), element("small", { textContent: hint }));
    const made = [];
    const { takes, logprobs } = this.mode;
    if (takes.includes("max_new_tokens")) made.push(number("max_tokens", `1 to ${model.max_new_tokens}`, { min: 1, max: model.max_new_tokens, step: 1 }));
    for (const option of model.options.filter((one) => takes.includes(one.name))) {
      const range = option.name === "seed" ? "empty: random" : `${option.min ?? "any"} to ${option.max ?? "any"}; neutral ${option.neutral}; exported ${option.exported}`;
      const extra = { step: option.integer ? 1 : "any", placeholder: option.name === "seed" ? "" : option.exported };
      if (option.min !== null) extra.min = option.min;
      if (option.max !== null) extra.max = option.max;
      made.push(number(option.name, range, extra));
    }
    made.push(number("n", "answers, 1 to 8", { min: 1, max: 8, step: 1, placeholder: 1 }));
    made.push(element("label", {}, "stop", element("input", { name: "stop", value: settings.stop ?? "" }), element("small", { textContent: "strings, separated by |" })));
    if (takes.includes("guide") && model.guides.length) {
      const select = element("select", { name: "guide" }, ...["", ...model.guides].map((guide) => element("option", { value: guide, textContent: guide || "none" })));
      select.value = settings.guide ?? "";
      made.push(element("label", {}, "guide", select));
    }
    if (logprobs) {
      made.push(element("label", { className: "check" }, element("input", { name: "logprobs", type: "checkbox", checked: settings.logprobs ?? true }), "token probabilities"));
    }
    return made;
  }

  settings() {
    const found = { model: this.model.id, mode: this.find("[name=mode]").value };
    for (const input of this.find(".options").querySelectorAll("input, select")) {
      if (input.type === "checkbox") found[input.name] = input.checked;
      else if (input.value !== "") found[input.name] = input.type === "number" ? Number(input.value) : input.value;
    }
    return found;
  }

  body(stream) {
    const { mode, stop, logprobs, ...options } = this.settings(), { signature } = this.mode;
    if (signature) options.signature = signature;
    if (stop) options.stop = stop.split("|");
    const most = this.model.logprobs;
    if (this.isChat) {
      options.messages = [...($("system").value ? [{ role: "system", content: $("system").value }] : []), ...turns, { role: "user", content: $("prompt").value }];
      if (logprobs) Object.assign(options, { logprobs: true, top_logprobs: Math.min(most, 5) });
    } else {
      options.prompt = $("prompt").value;
      if (logprobs) options.logprobs = Math.min(most, 5);
    }
    return stream ? { ...options, stream: true, stream_options: { include_usage: true } } : options;
  }

  path() { return this.isChat ? "/v1/chat/completions" : "/v1/completions"; }

  async run(signal) {
    const answer = this.find(".answer"), counts = this.find(".counts"), start = performance.now();
    const result = { text: "", first: null, usage: null, reasons: [] };
    answer.replaceChildren(); counts.textContent = "waiting"; this.choices = new Map();
    answer.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(this.path().slice(1), { method: "POST", headers: headers(), body: JSON.stringify(this.body(true)), signal });
      if (!response.ok) throw new Error((await response.json()).error.message);
      for await (const event of events(response.body)) {
        if (event.error) throw new Error(event.error.message);
        if (event.usage) result.usage = event.usage;
        for (const choice of event.choices) this.show(choice, result, performance.now() - start);
      }
    } catch (error) {
      answer.append(element("p", { className: "error", textContent: signal.aborted ? "stopped" : error.message }));
    }
    const seconds = (performance.now() - start) / 1000, made = result.usage?.completion_tokens;
    counts.textContent = [
      result.usage && `${result.usage.prompt_tokens} prompt tokens, ${made} new`, result.reasons.length && `finish: ${result.reasons.join(", ")}`,
      result.first !== null && `first after ${(result.first / 1000).toFixed(2)} s`, `${seconds.toFixed(2)} s`, made && `${(made / seconds).toFixed(1)} tokens/s`,
    ].filter(Boolean).join("; ");
    answer.setAttribute("aria-busy", "false");
    return result;
  }

  show(choice, result, time) {
    if (!this.choices.has(choice.index)) {
      this.choices.set(choice.index, element("div", { className: "choice" }));
      this.find(".answer").append(this.choices.get(choice.index));
    }
    const place = this.choices.get(choice.index), delta = choice.delta ?? { content: choice.text };
    if (result.first === null && (delta.content || delta.reasoning_content)) result.first = time;
    if (delta.reasoning_content) place.append(element("span", { className: "reasoning", textContent: delta.reasoning_content }));
    const tokens = ranked(choice.logprobs);
    const plain = tokens.map((token) => token.text).join("");
    if (tokens.length && plain === delta.content) place.append(...tokens.map(span));
    else if (delta.content) place.append(delta.content);
    for (const call of delta.tool_calls ?? []) place.append(element("p", { textContent: `${call.function.name}(${call.function.arguments})` }));
    if (choice.index === 0) result.text += delta.content ?? "";
    if (choice.finish_reason) result.reasons.push(choice.finish_reason);
  }

  source(language) {
    const url = new URL(this.path().slice(1), location.href).href, body = this.body(false), quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
    if (language === "curl") return `curl ${url} -H 'Content-Type: application/json' -H "Authorization: Bearer $API_KEY" -d ${quote(JSON.stringify(body))}`;
    if (language === "openai") {
      const known = ["model", "messages", "prompt", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"];
      const own = Object.entries(body).filter(([name]) => known.includes(name)), extra = Object.fromEntries(Object.entries(body).filter(([name]) => !known.includes(name)));
      const given = own.map(([name, value]) => `${name}=${python(value)}`);
      if (Object.keys(extra).length) given.push(`extra_body=${python(extra)}`);
      const call = this.isChat ? "client.chat.completions.create" : "client.completions.create";
      return `from openai import OpenAI\n\nclient = OpenAI(base_url=${python(new URL("v1", location.href).href)}, api_key="...")\nprint(${call}(${given.join(", ")}))`;
    }
    const [name, version] = body.model.split("@"), prompt = $("prompt").value, { chosen } = this.mode;
    if (language === "python") {
      const client = [python("grpc://HOST:8500"), python(name), ...(version ? [`version=${version}`] : [])].join(", ");
      const given = Object.entries(this.row()).map(([option, value]) => `, ${option}=${python(value)}`).join("");
      const call = OF_IDS.includes(chosen) ? `generate_tokens([client.encode([${python(prompt)}])[0].ids]` : `generate([${python(prompt)}], signature=${python(chosen)}`;
      return `from exporter import Client\n\nwith Client(${client}) as client:\n    print(client.${call}${given})[0].text)`;
    }
    const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(prompt)));
    const request = {
      model_spec: { name, ...(version ? { version } : {}), signature_name: chosen },
      inputs: { text: { dtype: "DT_STRING", tensor_shape: { dim: [{ size: 1 }] }, string_val: [encoded] } },
    };
    return `grpcurl -plaintext -d ${quote(JSON.stringify(request))} HOST:8500 tensorflow.serving.PredictionService/Predict`;
  }

  // The inputs of this request's row that are not neutral: a client of the server fills in neutral values, the
  // gateway those of the export.
  row() {
    const given = this.settings(), { takes } = this.mode, row = {};
    if (takes.includes("max_new_tokens")) row.max_new_tokens = given.max_tokens ?? this.model.max_tokens;
    for (const { name, neutral, exported } of this.model.options) {
      const value = given[name] ?? exported, off = value === neutral || (name === "top_k" && value < 0);
      if (takes.includes(name) && !off) row[name] = value;
    }
    if (given.guide) row.guide = this.model.guides.indexOf(given.guide);
    return row;
  }

  // Whether a server alone answers this request: templates, stop strings and several answers are the gateway's.
  offers(language) {
    const { stop, n } = this.settings(), { chosen, takes } = this.mode;
    if (language === "curl" || language === "openai") return true;
    if (this.isChat || stop || n > 1) return false;
    if (!OF_IDS.includes(chosen)) return language === "python" || !takes.length;
    return language === "python" && this.model.modes.some(({ signature }) => signature === "generate_tokens");
  }

  offer() {
    const select = this.find("[name=language]");
    for (const option of select.options) option.disabled = !this.offers(option.value);
    if (!this.offers(select.value)) select.value = "curl";
  }
}

function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

function ranked(found) {
  if (!found) return [];
  if (found.content) return found.content.map((item) => ({ text: item.token, logprob: item.logprob, others: item.top_logprobs.map((other) => [other.token, other.logprob]) }));
  return found.tokens.map((text, place) => ({ text, logprob: found.token_logprobs[place], others: Object.entries(found.top_logprobs[place]) }));
}

function span(token) {
  const share = (logprob) => `${(100 * Math.exp(logprob)).toFixed(1)} %`, p = Math.exp(token.logprob);
  const others = token.others.map(([text, logprob]) => `${JSON.stringify(text)} ${share(logprob)}`).join("\n");
  return element("span", { className: `token p${Math.min(4, Math.floor(p * 5))}`, title: `${JSON.stringify(token.text)} ${share(token.logprob)}\n\n${others}`, textContent: token.text });
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.slice(6));
    }
  }
}

async function send() {
  if (running || !panes.every((pane) => pane.form.reportValidity())) return;
  running = new AbortController();
  $("send").disabled = true; $("stop").disabled = false;
  const prompt = $("prompt").value, results = await Promise.all(panes.map((pane) => pane.run(running.signal)));
  running = null;
  $("send").disabled = false; $("stop").disabled = true;
  remember({ prompt, system: $("system").value, settings: panes.map((pane) => pane.settings()), text: results[0].text });
  if (panes.length === 1 && panes[0].isChat && results[0].reasons.length) {
    turns.push({ role: "user", content: prompt }, { role: "assistant", content: results[0].text });
    $("prompt").value = "";
    showTurns();
  }
}

function showTurns() { $("turns").replaceChildren(...turns.map((turn) => element("p", {}, element("strong", { textContent: `${turn.role}: ` }), turn.content))); }

function chatControls() {
  const isChat = panes.some((pane) => pane.isChat);
  for (const id of ["system", "system-label", "clear", "turns"]) $(id).hidden = !isChat;
}

const history = () => { try { return JSON.parse(localStorage.getItem(HISTORY)) ?? []; } catch { return []; } };

function remember(entry) { localStorage.setItem(HISTORY, JSON.stringify([entry, ...history()].slice(0, MOST))); showHistory(); }

function showHistory() {
  $("history").replaceChildren(...history().map((entry) => {
    const button = element("button", { type: "button", textContent: `${entry.prompt} → ${entry.text}` });
    button.addEventListener("click", () => { $("prompt").value = entry.prompt; $("system").value = entry.system; build(entry.settings); });
    return element("li", {}, button);
  }));
}

function build(settings) {
  panes = [];
  const wanted = settings.length ? settings : [{}];
  $("compare").checked = wanted.length > 1;
  panes = wanted.map((one, number) => new Pane(number, one));
  $("panes").replaceChildren(...panes.map((pane) => pane.root));
  chatControls();
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); notice("Copied."); }
  catch { notice(text); }
}

function notice(text) { $("notice").textContent = text; }

async function load() {
  try {
    const response = await fetch("ui/models", { headers: headers() });
    if (!response.ok) throw new Error((await response.json()).error.message);
    models = await response.json();
    notice("");
  } catch (error) { notice(error.message); return; }
  let settings = [];
  try { settings = JSON.parse(decodeURIComponent(location.hash.slice(1))); } catch { settings = []; }
  build(Array.isArray(settings) ? settings.slice(0, 2) : []);
  showHistory();
}

$("send").addEventListener("click", send);
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", () => { turns = []; showTurns(); });
$("forget").addEventListener("click", () => { localStorage.removeItem(HISTORY); showHistory(); });
$("compare").addEventListener("change", () => { const first = panes[0].settings(); build($("compare").checked ? [first, first] : [first]); });
$("share").addEventListener("click", () => {
  location.hash = encodeURIComponent(JSON.stringify(panes.map((pane) => pane.settings())));
  copy(location.href);
});
$("key").addEventListener("change", load);
$("prompt").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); } });
load();
