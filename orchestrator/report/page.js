"use strict";
// Draws the report from the data in the page. Every text from outside enters by textContent.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 3", "12 4"];
const MARKS = ["circle", "square", "triangle", "diamond"];
const priced = data.arms.some((arm) => arm.points.some((point) => point.usd_at_k > 0));
let across = priced ? "usd" : "k";

function make(tag, attributes, text, parent) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  if (text !== undefined && text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function shape(tag, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}
const colour = (number) => `var(--c${number % 7})`;
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 1)} %`;
const whole = (value) => value.toLocaleString("en-US");
function money(usd) {
  if (usd === null || usd === undefined) return "";
  if (usd === 0 || usd >= 0.1) return "$" + usd.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return "$" + Number(usd.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 12 });
}

// The look: the system's, until a person chooses.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function look(name) {
  root.dataset.look = name;
  document.getElementById("look").textContent = name === "dark" ? "Light" : "Dark";
}
look(dark.matches ? "dark" : "light");
dark.addEventListener("change", (event) => look(event.matches ? "dark" : "light"));
document.getElementById("look").addEventListener("click", () => look(root.dataset.look === "dark" ? "light" : "dark"));

function marker(parent, number, x, y, size) {
  const style = { fill: colour(number), stroke: "var(--card)", "stroke-width": 1 };
  const kind = MARKS[number % MARKS.length];
  if (kind === "circle") return shape("circle", { cx: x, cy: y, r: size, ...style }, parent);
  const points = {
    square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    triangle: [[0, -1.25], [1.15, 0.9], [-1.15, 0.9]],
    diamond: [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
  }[kind];
  return shape("polygon", { points: points.map(([a, b]) => `${x + a * size},${y + b * size}`).join(" "), ...style }, parent);
}

function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    const value = 10 ** power;
    if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
  }
  return found.length ? found : [low, high];
}

// One chart with a logarithmic x axis and shares upwards. series: {number, label, points:
// [{x, y, low, high, say}], dash, bare}; extra: forecasts with whiskers.
function chart(place, series, options) {
  place.replaceChildren();
  const box = make("div", { class: "chart" }, null, place);
  const hover = make("div", { class: "hover", role: "status" }, null, box);
  const width = Math.max(box.clientWidth, 220);
  const height = Math.max(240, Math.min(420, width * 0.56));
  const pad = { left: 46, right: 14, top: 12, bottom: 44 };
  const xs = series.flatMap((one) => one.points.map((point) => point.x));
  const tops = series.flatMap((one) => one.points.map((point) => Math.max(point.y, point.high || 0)));
  let low = Math.min(...xs), high = Math.max(...xs);
  if (low === high) { low /= 2; high *= 2; }
  const top = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1].find((one) => Math.max(...tops) <= one) || 1;
  const x = (value) => pad.left + (Math.log(value / low) / Math.log(high / low)) * (width - pad.left - pad.right);
  const y = (value) => pad.top + (1 - value / top) * (height - pad.top - pad.bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": options.title }, box);
  for (let step = 0; step <= 4; step++) {
    const share = (top * step) / 4;
    shape("line", { x1: pad.left, x2: width - pad.right, y1: y(share), y2: y(share), class: step ? "grid" : "axis" }, svg);
    shape("text", { x: pad.left - 8, y: y(share) + 4, "text-anchor": "end" }, svg, `${+(100 * share).toFixed(2)}%`);
  }
  let last = -Infinity;
  for (const value of ticks(low, high)) {
    const label = options.tick(value);
    const half = label.length * 3.5;
    const at = Math.min(Math.max(x(value), half), width - half);
    shape("line", { x1: x(value), x2: x(value), y1: pad.top, y2: height - pad.bottom, class: "grid" }, svg);
    if (at - half > last + 8) {
      shape("text", { x: at, y: height - pad.bottom + 18, "text-anchor": "middle" }, svg, label);
      last = at + half;
    }
  }
  shape("text", { x: (width + pad.left) / 2, y: height - 6, "text-anchor": "middle" }, svg, options.across);
  for (const one of series) {
    if (one.points.some((point) => point.low !== undefined) && !one.whiskers) {
      const up = one.points.map((point) => `${x(point.x)},${y(point.high)}`);
      const down = one.points.map((point) => `${x(point.x)},${y(point.low)}`).reverse();
      shape("polygon", { points: [...up, ...down].join(" "), fill: colour(one.number), opacity: 0.16 }, svg);
    }
  }
  for (const one of series) {
    if (!one.whiskers) {
      const line = shape("polyline", { points: one.points.map((point) => `${x(point.x)},${y(point.y)}`).join(" "), fill: "none", stroke: colour(one.number), "stroke-width": 2.2, "stroke-linejoin": "round" }, svg);
      if (one.dash) line.setAttribute("stroke-dasharray", one.dash);
    }
    for (const point of one.points) {
      if (one.whiskers) shape("line", { x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high), stroke: colour(one.number), "stroke-width": 1.6 }, svg);
      if (!one.bare) {
        const mark = marker(svg, one.number, x(point.x), y(point.y), one.whiskers ? 3 : 4);
        if (one.whiskers) { mark.setAttribute("fill", "var(--card)"); mark.setAttribute("stroke", colour(one.number)); mark.setAttribute("stroke-width", 2); }
      }
    }
  }
  const seen = series.filter((one) => !one.bare).flatMap((one) => one.points.map((point) => ({ one, point })));
  function nearest(event) {
    const area = svg.getBoundingClientRect();
    const mx = event.clientX - area.left, my = event.clientY - area.top;
    let best = null, distance = 45;
    for (const item of seen) {
      const d = Math.hypot(x(item.point.x) - mx, y(item.point.y) - my);
      if (d < distance) { best = item; distance = d; }
    }
    if (!best) { hover.style.display = "none"; return; }
    hover.textContent = `${best.one.label}\n${best.point.say}`;
    hover.style.display = "block";
    const left = Math.min(Math.max(x(best.point.x) + 12, 0), Math.max(width - hover.offsetWidth - 2, 0));
    hover.style.left = `${left}px`;
    hover.style.top = `${Math.max(y(best.point.y) - hover.offsetHeight - 10, 0)}px`;
  }
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointerleave", () => { hover.style.display = "none"; });
  const legend = make("div", { class: "legend" }, null, place);
  for (const one of series.filter((item) => !item.quiet)) {
    const entry = make("span", {}, null, legend);
    const sign = shape("svg", { width: 30, height: 12, "aria-hidden": "true" }, entry);
    const line = shape("line", { x1: 0, x2: 30, y1: 6, y2: 6, stroke: colour(one.number), "stroke-width": 2.2 }, sign);
    if (one.dash) line.setAttribute("stroke-dasharray", one.dash);
    if (!one.bare) marker(sign, one.number, 15, 6, 4);
    make("span", {}, one.label, entry);
  }
}

const AXES = {
  k: { across: "attempts per problem (k)", tick: whole, of: (point) => point.k },
  usd: { across: "dollars for all problems, k bought afresh", tick: money, of: (point) => point.usd_at_k },
  flops: { across: "floating point operations for all problems", tick: (value) => `1e${Math.round(Math.log10(value))}`, of: (point) => point.flops },
};

function describe(point) {
  const lines = [`k = ${whole(point.k)}: ${percent(point.mean)}`, `these problems: ${percent(point.low)} to ${percent(point.high)}`, `problems like these: ${percent(point.low_like)} to ${percent(point.high_like)}`];
  if (point.usd_at_k) lines.push(`k afresh: ${money(point.usd_at_k)}`);
  if (point.usd_as_bought) lines.push(`as bought: ${money(point.usd_as_bought)}`);
  return lines.join("\n");
}

function coverage() {
  const axis = AXES[across];
  const series = [];
  data.arms.forEach((arm, number) => {
    const points = arm.points.filter((point) => axis.of(point) > 0).map((point) => ({ x: axis.of(point), y: point.mean, low: point.low, high: point.high, say: describe(point) }));
    if (points.length) series.push({ number, label: arm.label, points, dash: DASHES[number % DASHES.length] });
    const law = arm.fits.find((fit) => fit.space === "log");
    if (law && points.length > 1) {
      // Along k the law is drawn smoothly; along what k costs, where a point says the cost.
      const ks = across === "k" ? Array.from({ length: 40 }, (_, i) => points[points.length - 1].x ** (i / 39)).map((k) => [k, k])
        : arm.points.filter((point) => axis.of(point) > 0).map((point) => [point.k, axis.of(point)]);
      const line = ks.map(([k, x]) => ({ x, y: Math.exp(law.a * k ** law.b) }));
      series.push({ number, label: `${arm.label}, exp(${law.a.toFixed(2)} k^${law.b.toFixed(2)})`, bare: true, dash: "1 4", points: line });
    }
    if (across === "k" && arm.forecasts.length) series.push({ number, label: `${arm.label}, forecast`, whiskers: true, quiet: true, points: arm.forecasts.map((point) => ({ x: point.k, y: point.mean, low: point.low, high: point.high, say: `k = ${whole(point.k)}: ${percent(point.mean)}\n${Math.round(100 * point.level)} % interval: ${percent(point.low)} to ${percent(point.high)}` })) });
  });
  if (series.length) chart(document.getElementById("coverage"), series, { title: "Coverage", ...axis });
  else document.getElementById("coverage").textContent = "There is no coverage to draw yet.";
}

function selection() {
  const series = [];
  data.arms.forEach((arm, number) => {
    if (!arm.selection.length) return;
    series.push({ number, label: `${arm.label}, coverage`, points: arm.points.map((point) => ({ x: point.k, y: point.mean, say: describe(point) })) });
    arm.selection.forEach((one, position) => series.push({ number, label: `${arm.label}, ${one.method}`, dash: DASHES[(position + 1) % DASHES.length], points: one.ks.map((k, i) => ({ x: k, y: one.precision[i], say: `k = ${whole(k)}: ${percent(one.precision[i])} answered rightly` })) }));
  });
  const part = document.getElementById("selection");
  if (series.length) chart(part, series, { title: "Selection against coverage", ...AXES.k });
  else part.closest("section").hidden = true;
}

function bars() {
  const place = document.getElementById("problems");
  place.replaceChildren();
  // Every panel stands before one is measured: the grid's columns depend on how many there are.
  const highest = Math.max(0.01, ...data.arms.flatMap((arm) => arm.fractions));
  const panels = data.arms.map((arm) => arm.fractions.length ? make("div", { class: "panel" }, null, place) : null);
  data.arms.forEach((arm, number) => {
    const panel = panels[number];
    if (!panel) return;
    const never = arm.fractions.filter((share) => share === 0).length;
    make("p", { class: "quiet" }, `${arm.label}: ${never} of ${arm.fractions.length} problems without a right attempt`, panel);
    const box = make("div", { class: "chart" }, null, panel);
    const hover = make("div", { class: "hover", role: "status" }, null, box);
    const width = Math.max(box.clientWidth, 200), height = 130;
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `Share of right attempts by problem, ${arm.label}` }, box);
    const order = arm.fractions.map((share, i) => ({ share, i })).sort((a, b) => b.share - a.share);
    const top = highest, step = width / order.length;
    if (never) shape("rect", { x: width - never * step, y: 0, width: never * step, height: height - 1, fill: "var(--soft)" }, svg);
    order.forEach((item, place) => {
      const tall = Math.sqrt(item.share / top) * (height - 14);
      if (item.share > 0) shape("rect", { x: place * step, y: height - tall - 1, width: Math.max(step - 0.6, 0.5), height: tall, fill: colour(number) }, svg);
    });
    shape("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: "axis" }, svg);
    shape("text", { x: width - 2, y: 11, "text-anchor": "end" }, svg, `square root axis, to ${percent(top)}`);
    svg.addEventListener("pointermove", (event) => {
      const area = svg.getBoundingClientRect();
      const item = order[Math.min(Math.max(Math.floor((event.clientX - area.left) / area.width * order.length), 0), order.length - 1)];
      const name = arm.problem_ids[item.i];
      hover.textContent = `${name === undefined ? `problem ${item.i}` : name}\n${whole(arm.c[item.i])} of ${whole(arm.n[item.i])} right (${percent(item.share)})`;
      hover.style.display = "block";
      hover.style.left = `${Math.min(Math.max(event.clientX - area.left + 12, 0), Math.max(width - hover.offsetWidth - 2, 0))}px`;
      hover.style.top = "4px";
    });
    svg.addEventListener("pointerleave", () => { hover.style.display = "none"; });
    svg.addEventListener("click", (event) => {
      const area = svg.getBoundingClientRect();
      const item = order[Math.min(Math.max(Math.floor((event.clientX - area.left) / area.width * order.length), 0), order.length - 1)];
      read(arm.problem_ids[item.i]);
    });
  });
}

// Tables: a click or Enter on a heading sorts; numbers by value.
function table(place, columns, rows) {
  const made = make("table", {}, null, place);
  const head = make("tr", {}, null, make("thead", {}, null, made));
  const body = make("tbody", {}, null, made);
  columns.forEach((column, number) => {
    const cell = make("th", { scope: "col", tabindex: 0, ...(column.text ? { class: "text" } : {}) }, column.name, head);
    function sort() {
      const down = cell.getAttribute("aria-sort") === "ascending";
      head.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const one = a[number].value, two = b[number].value;
        const order = typeof one === "string" ? one.localeCompare(two, "en", { numeric: true }) : (one ?? -Infinity) - (two ?? -Infinity);
        return down ? -order : order;
      });
      fill();
    }
    cell.addEventListener("click", sort);
    cell.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
  });
  function fill() {
    body.replaceChildren();
    for (const row of rows) {
      const line = make("tr", {}, null, body);
      row.forEach((cell, number) => make("td", columns[number].text ? { class: "text", title: cell.shown } : {}, cell.shown, line));
    }
  }
  fill();
}
const text = (value) => ({ value, shown: value });
const number = (value, shown) => ({ value, shown: shown(value) });

function tables() {
  const columns = [
    [{ name: "arm", text: true }, (arm) => text(arm.label)],
    [{ name: "task", text: true }, (arm) => text(arm.task)],
    [{ name: "k" }, (arm, point) => number(point.k, whole)],
    [{ name: "coverage" }, (arm, point) => number(point.mean, percent)],
    [{ name: "these problems" }, (arm, point) => ({ value: point.low, shown: `${percent(point.low)} to ${percent(point.high)}` })],
    [{ name: "problems like these" }, (arm, point) => ({ value: point.low_like, shown: `${percent(point.low_like)} to ${percent(point.high_like)}` })],
    [{ name: "as bought" }, (arm, point) => number(point.usd_as_bought, money), "usd_as_bought"],
    [{ name: "k afresh" }, (arm, point) => number(point.usd_at_k, money), "usd_at_k"],
    [{ name: "FLOPs" }, (arm, point) => number(point.flops, (value) => value === null ? "" : value.toExponential(2)), "flops"],
  ].filter(([, , field]) => !field || data.arms.some((arm) => arm.points.some((point) => point[field] !== null)));
  table(document.getElementById("numbers"), columns.map(([column]) => column),
    data.arms.flatMap((arm) => arm.points.map((point) => columns.map(([, cell]) => cell(arm, point)))));
  const fits = data.arms.flatMap((arm) => arm.fits.map((fit) => [text(arm.label), text(fit.space), number(fit.a, (a) => a.toFixed(3)), number(fit.b, (b) => b.toFixed(3)), { value: fit.error_mean, shown: `${fit.error_mean.toFixed(4)} ± ${fit.error_sd.toFixed(4)}` }]));
  if (fits.length) table(document.getElementById("fits"), [{ name: "arm", text: true }, { name: "fitted in", text: true }, { name: "a" }, { name: "b" }, { name: "error" }], fits);
  const ahead = data.arms.flatMap((arm) => arm.forecasts.map((point) => [text(arm.label), number(point.k, whole), number(point.mean, percent), { value: point.low, shown: `${percent(point.low)} to ${percent(point.high)}` }]));
  if (ahead.length) table(document.getElementById("forecasts"), [{ name: "arm", text: true }, { name: "k" }, { name: "forecast" }, { name: "90 % interval" }], ahead);
  if (!fits.length && !ahead.length) document.getElementById("law").hidden = true;
  const each = data.arms.flatMap((arm) => arm.fractions.map((share, i) => [text(arm.label), text(arm.problem_ids[i] ?? String(i)), number(arm.n[i], whole), number(arm.c[i], whole), number(share, percent)]));
  if (each.length) table(document.getElementById("each"), [{ name: "arm", text: true }, { name: "problem", text: true }, { name: "judged" }, { name: "right" }, { name: "share" }], each);
}

const switches = document.getElementById("switch");
const offered = Object.keys(AXES).filter((name) => data.arms.some((arm) => arm.points.some((point) => AXES[name].of(point) > 0)));
if (offered.length > 1) {
  const names = { k: "Attempts", usd: "Dollars", flops: "FLOPs" };
  for (const name of offered) {
    const button = make("button", { type: "button", "aria-pressed": String(name === across) }, names[name], switches);
    button.addEventListener("click", () => {
      across = name;
      switches.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      coverage();
    });
  }
}

// Problems to read: found by their name, opened from bars and rows.
const reading = [...document.querySelectorAll("#reading .problem")].map((box) => ({ box, name: box.querySelector(".name").textContent }));
const find = document.getElementById("find");
if (find && reading.length > 8) {
  find.hidden = false;
  find.addEventListener("input", () => {
    const wanted = find.value.toLowerCase();
    for (const one of reading) one.box.hidden = !one.name.toLowerCase().includes(wanted);
  });
}
function read(name) {
  const found = reading.find((one) => one.name === name);
  if (!found) return;
  found.box.hidden = false;
  found.box.open = true;
  found.box.scrollIntoView({ block: "center" });
}
document.getElementById("each").addEventListener("click", (event) => {
  const row = event.target.closest("tbody tr");
  if (row) read(row.children[1].title);
});

tables();
function draw() { coverage(); selection(); bars(); }
draw();
let drawn = window.innerWidth, waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { if (window.innerWidth !== drawn) { drawn = window.innerWidth; draw(); } }, 80);
});
