"use strict";
// Everything that comes from data goes into the page as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const PAGE_OF_FEATURES = 50, PAGE_OF_ROWS = 15, FEW_BARS = 15, FEWEST = 0.15;

  // -- small tools -------------------------------------------------------------------------------

  const ARRAYS = { f4: Float32Array, u4: Uint32Array, i1: Int8Array, u1: Uint8Array };
  const unpack = (packed) => {
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
    return new ARRAYS[packed.type](bytes.buffer);
  };
  for (const part of [data.features, data.rows, data.rows && data.rows.pictures]) {
    for (const key in part || {}) if (part[key] && part[key].data) part[key] = unpack(part[key]);
  }
  const features = data.features, rows = data.rows;

  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const draw = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return element;
  };
  const barCell = (...shapes) => {
    const cell = make("td", undefined, "bar");
    const svg = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(...shapes);
    cell.append(svg);
    return cell;
  };
  const nameCell = (name) => {
    const cell = make("th", undefined, "name"), inner = make("span", name, "clip");
    cell.scope = "row";
    cell.dir = "auto";
    inner.title = name;
    cell.append(inner);
    return cell;
  };
  const cut = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
  const grouped = (n) => n.toLocaleString("en-US");
  const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + short(Math.abs(x));
  function short(x) {
    if (!Number.isFinite(x)) return "–";
    const size = Math.abs(x);
    if (size >= 1e5 || (size && size < 1e-3)) return x.toExponential(2);
    return size >= 100 ? x.toFixed(1) : size >= 10 ? x.toFixed(2) : x.toFixed(3);
  }
  const percent = (p) => {
    const extreme = (p > 0 && p < 0.0995) || (p > 0.995 && p < 1);
    return `${(100 * p).toFixed(extreme ? 1 : 0)} %`;
  };

  const csvCell = (value) => {
    let text = String(value);
    // A spreadsheet would run a text that begins like a formula.
    if (/^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text))) text = "'" + text;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const download = (name, lines) => {
    const text = "\ufeff" + lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const plain = (x) => (Number.isFinite(x) ? Number(x.toPrecision(7)) : "");

  // -- a table that is searched, sorted and turned page by page ------------------------------------

  class Table {
    // `columns` give for each data-column of the head what its rows are sorted by.
    constructor({ table, pager, count, size, n, noun, texts, columns, descending, line }) {
      Object.assign(this, { body: table.tBodies[0], count, size, noun, columns, line, descending });
      this.texts = texts.map((text) => text.toLowerCase());
      this.found = this.all = Array.from({ length: n }, (_, i) => i);
      this.query = "";
      this.keep = () => true;
      this.page = 0;
      this.heads = [...table.tHead.querySelectorAll("[data-column]")];
      for (const head of this.heads) {
        const button = make("button", head.textContent);
        button.type = "button";
        button.addEventListener("click", () => this.sort(head));
        head.replaceChildren(button);
      }
      this.back = make("button", "Back");
      this.forth = make("button", "More");
      this.where = make("span");
      for (const [button, step] of [[this.back, -1], [this.forth, 1]]) {
        button.type = "button";
        button.addEventListener("click", () => this.show(this.page + step));
      }
      pager.append(this.back, this.where, this.forth);
      const sorted = this.heads.find((head) => head.hasAttribute("aria-sort"));
      if (sorted) this.order(sorted);
    }
    order(head) {
      const key = this.columns[head.dataset.column];
      const sign = head.getAttribute("aria-sort") === "descending" ? -1 : 1;
      const indices = this.all.map((_, i) => i), keys = indices.map(key);
      const compare = typeof keys[0] === "string"
        ? (a, b) => sign * keys[a].localeCompare(keys[b], "en", { numeric: true })
        : (a, b) => sign * (keys[a] - keys[b]) || a - b;
      this.all = indices.sort(compare);
    }
    sort(head) {
      const now = head.getAttribute("aria-sort");
      const first = this.descending.includes(head.dataset.column) ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      for (const one of this.heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", now === first ? other : first);
      this.order(head);
      this.filter();
    }
    reorder() {
      const head = this.heads.find((one) => one.hasAttribute("aria-sort"));
      if (head) this.order(head);
      this.filter();
    }
    search(query) {
      this.query = query.trim().toLowerCase();
      this.filter();
    }
    filter() {
      this.found = this.all.filter((i) => this.keep(i) && this.texts[i].includes(this.query));
      this.show(0);
    }
    show(page) {
      const last = Math.max(0, Math.ceil(this.found.length / this.size) - 1);
      this.page = Math.min(Math.max(page, 0), last);
      const start = this.page * this.size, shown = this.found.slice(start, start + this.size);
      this.body.replaceChildren(...shown.map((i) => this.line(i)));
      this.back.disabled = this.page === 0;
      this.forth.disabled = this.page === last;
      this.where.textContent = shown.length
        ? `${grouped(start + 1)} to ${grouped(start + shown.length)} of ${grouped(this.found.length)}` : "";
      this.count.textContent = shown.length
        ? `${grouped(this.found.length)} ${this.noun}` : `No ${this.noun} found.`;
    }
    pageOf(i) {
      const place = this.found.indexOf(i);
      return place < 0 ? this.page : Math.floor(place / this.size);
    }
  }

  // -- the ranking ---------------------------------------------------------------------------------

  const nFeatures = features.names.length;
  let importance, places, largest;
  const rankBy = (one) => {
    importance = one < 0 ? features.importance : features.ofClass.subarray(one * nFeatures, (one + 1) * nFeatures);
    const order = features.names.map((_, i) => i).sort((a, b) => importance[b] - importance[a] || a - b);
    places = new Uint32Array(nFeatures);
    order.forEach((i, place) => { places[i] = place + 1; });
    ofAll = one < 0;
    // Not by spreading: an argument for each of twenty thousand features may be too many.
    const most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
    largest = (features.high && ofAll ? most(features.high) : importance[order[0]]) || 1;
  };
  let ofAll = true;
  rankBy(-1);

  const featureLine = (i) => {
    const line = make("tr");
    const scale = (x) => (100 * Math.min(x / largest, 1)).toFixed(2);
    const shapes = [draw("rect", { class: "fill", width: scale(importance[i]), height: 10 })];
    if (features.low && ofAll) {
      const [low, high] = [scale(features.low[i]), scale(features.high[i])];
      shapes.push(draw("path", { class: "whisker", d: `M${low} 5H${high}M${low} 2V8M${high} 2V8` }));
    }
    line.append(
      make("td", grouped(places[i]), "number"), nameCell(features.names[i]),
      make("td", importance[i] >= 1e-4 || !importance[i] ? importance[i].toFixed(4) : importance[i].toExponential(1), "number"),
      barCell(...shapes));
    if (features.low) {
      const [best, worst] = [features.best[i], features.worst[i]];
      line.append(
        make("td", ofAll ? `${features.low[i].toFixed(4)} to ${features.high[i].toFixed(4)}` : "", "number wide"),
        make("td", best === worst ? grouped(best) : `${grouped(best)} to ${grouped(worst)}`, "number"),
        make("td", percent(features.top[i]), "number wide"));
    }
    return line;
  };
  const featureTable = new Table({
    table: byId("features"), pager: byId("feature-pager"), count: byId("feature-count"),
    size: PAGE_OF_FEATURES, n: nFeatures, noun: "features", texts: features.names, line: featureLine,
    descending: ["importance", "range", "top"],
    columns: {
      place: (i) => places[i], name: (i) => features.names[i], importance: (i) => importance[i],
      range: (i) => features.high[i] - features.low[i], worst: (i) => features.worst[i], top: (i) => features.top[i],
    },
  });
  byId("feature-search").addEventListener("input", (event) => featureTable.search(event.target.value));
  byId("feature-class")?.addEventListener("change", (event) => {
    rankBy(Number(event.target.value));
    featureTable.reorder();
    drawImportance();
  });
  byId("feature-csv").addEventListener("click", () => {
    const head = ["rank", "feature", "importance"];
    if (features.low) head.push("lower", "upper", "best_rank", "worst_rank", "top10_share");
    if (features.ofClass) head.push(...data.classes.map((name) => `importance of ${name}`));
    const order = Array.from(places.keys()).sort((a, b) => places[a] - places[b]);
    download("ranking.csv", [head, ...order.map((i) => {
      const line = [places[i], features.names[i], plain(features.importance[i])];
      if (features.low) line.push(...["low", "high", "best", "worst", "top"].map((key) => plain(features[key][i])));
      if (features.ofClass) line.push(...data.classes.map((_, c) => plain(features.ofClass[c * nFeatures + i])));
      return line;
    })]);
  });

  // -- pictures --------------------------------------------------------------------------------------

  const colour = (name) => {
    // The page's own colours, as numbers: a canvas knows no style sheet.
    const probe = make("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return found;
  };
  const paint = (canvas, height, width, shade) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let p = 0; p < height * width; p++) image.data.set([...shade(p), 255], 4 * p);
    context.putImageData(image, 0, 0);
  };
  const mix = (from, to, share) => from.map((x, i) => x + (to[i] - x) * share);
  function drawImportance() {
    if (!data.image) return;
    const [height, width] = data.image, size = height * width, sums = new Float64Array(size);
    importance.forEach((x, i) => { sums[i % size] += x; });
    const most = Math.max(...sums) || 1, page = colour("page"), ink = colour("accent");
    paint(byId("importance-picture"), height, width, (p) => mix(page, ink, sums[p] / most));
  }
  const drawPictures = (row) => {
    const pictures = rows.pictures;
    if (!pictures) return;
    const { height, width } = pictures, size = height * width;
    const there = (row + 1) * size <= pictures.values.length;
    byId("row-pictures").hidden = !there;
    if (!there) return;
    const [page, ink, yes, no] = ["page", "text", "for", "against"].map(colour);
    paint(byId("row-picture"), height, width, (p) => mix(page, ink, pictures.pixels[row * size + p] / 255));
    paint(byId("row-heat"), height, width, (p) => {
      const value = pictures.values[row * size + p] / 127;
      return mix(page, value > 0 ? yes : no, Math.abs(value));
    });
  };

  // -- single rows -----------------------------------------------------------------------------------

  const isClass = data.task !== "regression";
  let chosen = 0, nBars = FEW_BARS, rowTable = null;
  const nOutputs = rows ? rows.outputs.length / Math.max(rows.names.length, 1) : 0;
  const outputsOf = (i) => rows.outputs.subarray(i * nOutputs, (i + 1) * nOutputs);
  const predictedOf = (i) => {
    const outputs = outputsOf(i);
    return isClass ? outputs.indexOf(Math.max(...outputs)) : outputs[0];
  };
  const named = (value) => (isClass ? data.classes[value] : short(value));
  const outputOf = (i) => (data.task === "binary" ? outputsOf(i)[1] : Math.max(...outputsOf(i)));
  const isWrong = (i) => isClass && rows.truth !== null && rows.truth[i] !== predictedOf(i);

  const rowLine = (i) => {
    const line = make("tr"), head = make("th"), button = make("button", rows.names[i]);
    head.scope = "row";
    head.dir = "auto";
    button.type = "button";
    button.addEventListener("click", () => choose(i));
    head.append(button);
    line.append(head);
    line.dataset.row = i;
    const kind = isClass ? "" : " number";
    if (rows.truth) line.append(make("td", named(rows.truth[i]), kind));
    line.append(make("td", named(predictedOf(i)), `predicted${kind}`));
    if (isClass) line.append(make("td", percent(outputOf(i)), "number"));
    if (isWrong(i)) line.className = "wrong";
    if (i === chosen) line.setAttribute("aria-current", "true");
    return line;
  };

  const about = (i) => {
    const predicted = predictedOf(i), parts = [];
    parts.push(isClass
      ? `Predicted ${named(predicted)} with a probability of ${percent(outputsOf(i)[predicted])}`
      : `Predicted ${named(predicted)}`);
    if (rows.truth) parts.push(`${isWrong(i) ? "wrongly: it is" : isClass ? "rightly: it is" : "it is"} ${named(rows.truth[i])}`);
    return `${parts.join(", ")}.`;
  };

  // Bars of a row from top to bottom: what they are called, from where and to where they go.
  const barsOf = (i) => {
    const k = rows.k, start = rows.base ? rows.base[i] : 0, bars = [];
    let at = start, rest = rows.rest[i];
    const shown = Math.min(nBars, k);
    if (rows.base) bars.push({ kind: "base", name: "Base value", from: 0, to: start, value: start });
    for (let j = 0; j < k; j++) {
      const value = rows.values[i * k + j];
      if (j >= shown) { rest += value; continue; }
      const name = features.names[rows.features[i * k + j]];
      bars.push({ kind: "", name, cell: rows.texts[rows.cells[i * k + j]], from: at, to: at + value, value });
      at += value;
    }
    const nRest = nFeatures - shown;
    if (nRest > 0) bars.push({ kind: "rest", name: `${grouped(nRest)} other features`, from: at, to: at + rest, value: rest });
    at += nRest > 0 ? rest : 0;
    const sum = rows.base ? (data.task === "regression" ? "Output" : data.task === "binary" ? "Log-odds" : "Logit") : "Sum";
    bars.push({ kind: "total", name: sum, from: 0, to: at, value: at });
    return bars;
  };

  const barLine = (bar, at) => {
    const line = make("tr", undefined, bar.kind), cell = make("td", cut(bar.cell ?? ""));
    cell.dir = "auto";
    if (bar.cell) cell.title = bar.cell;
    if (bar.cell === "") cell.textContent = "missing";
    const [low, high] = [at(bar.from), at(bar.to)].sort((a, b) => a - b);
    const kind = bar.kind === "base" || bar.kind === "total" || !rows.signed ? "neither" : bar.value > 0 ? "for-it" : "against-it";
    line.append(
      nameCell(bar.name), cell, make("td", rows.signed ? signed(bar.value) : short(bar.value), "number"),
      barCell(
        draw("path", { class: "axis-line", d: `M${at(0)} -30V40` }),
        draw("rect", { class: kind, x: low.toFixed(2), width: Math.max(high - low, 0.4).toFixed(2), height: 10 })));
    return line;
  };

  const reach = (bars) => {
    const ends = bars.flatMap((bar) => [bar.from, bar.to]);
    return Math.max(...ends) - Math.min(...ends);
  };
  // Where thousands of features count a little, the strongest would be too short to see beside them.
  const apart = (bars) => {
    const single = bars.filter((bar) => bar.kind === "");
    if (reach(single) > FEWEST * reach(bars)) return false;
    for (const bar of bars) [bar.from, bar.to] = bar.kind === "" ? [0, bar.value] : [0, 0];
    return true;
  };

  const showBars = () => {
    const bars = barsOf(chosen), isApart = apart(bars), ends = bars.flatMap((bar) => [bar.from, bar.to]);
    byId("row-apart").hidden = !isApart;
    const low = Math.min(0, ...ends), high = Math.max(0, ...ends), range = high - low || 1;
    const at = (x) => (100 * (x - low)) / range;
    byId("waterfall").tBodies[0].replaceChildren(...bars.map((bar) => barLine(bar, at)));
    const more = byId("row-more");
    more.hidden = rows.k <= FEW_BARS;
    more.textContent = nBars === FEW_BARS ? `Show ${rows.k} features` : `Show ${FEW_BARS} features`;
  };

  const choose = (i) => {
    chosen = i;
    byId("row-title").textContent = `Row ${rows.names[i]}`;
    byId("row-about").textContent = about(i);
    for (const line of rowTable.body.rows) {
      if (Number(line.dataset.row) === i) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
    const place = rowTable.found.indexOf(i);
    byId("row-previous").disabled = place <= 0;
    byId("row-next").disabled = place < 0 || place === rowTable.found.length - 1;
    showBars();
    drawPictures(i);
  };
  const step = (by) => {
    const next = rowTable.found[rowTable.found.indexOf(chosen) + by];
    if (next === undefined) return;
    chosen = next;
    rowTable.show(rowTable.pageOf(next));
    choose(next);
  };

  const startRows = () => {
    const table = byId("row-table");
    rowTable = new Table({
      table, pager: byId("row-pager"), count: byId("row-count"), size: PAGE_OF_ROWS,
      n: rows.names.length, noun: "rows", line: rowLine, descending: ["output"],
      texts: rows.names.map((name, i) => [name, rows.truth ? named(rows.truth[i]) : "", named(predictedOf(i))].join("\n")),
      columns: {
        name: (i) => rows.names[i], truth: (i) => (isClass ? named(rows.truth[i]) : rows.truth[i]),
        predicted: (i) => (isClass ? named(predictedOf(i)) : predictedOf(i)), output: outputOf,
      },
    });
    const found = (change) => { change(); if (rowTable.found.length) choose(rowTable.found.includes(chosen) ? chosen : rowTable.found[0]); };
    byId("row-search").addEventListener("input", (event) => found(() => rowTable.search(event.target.value)));
    byId("row-wrong")?.addEventListener("change", (event) => found(() => {
      rowTable.keep = event.target.checked ? isWrong : () => true;
      rowTable.filter();
    }));
    // From row to row by the arrow keys, as in a list.
    table.tBodies[0].addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      step(by);
      table.tBodies[0].querySelector("[aria-current] button")?.focus();
    });
    byId("row-previous").addEventListener("click", () => step(-1));
    byId("row-next").addEventListener("click", () => step(1));
    byId("row-more").addEventListener("click", () => {
      nBars = nBars === FEW_BARS ? rows.k : FEW_BARS;
      showBars();
    });
    byId("row-csv").addEventListener("click", () => {
      const lines = barsOf(chosen).map((bar) => [bar.name, bar.cell ?? "", plain(bar.value)]);
      download(`row-${rows.names[chosen].replace(/[^\w.-]+/g, "_").slice(0, 60)}.csv`,
        [["feature", "value", `contribution towards ${data.towards}`], ...lines]);
    });
    rowTable.filter();
    if (rows.names.length) choose(0);
  };

  // -- light and dark ----------------------------------------------------------------------------------

  const themeButton = byId("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const themed = () => {
    themeButton.setAttribute("aria-pressed", String(isDark()));
    drawImportance();
    if (rows && rows.names.length) drawPictures(chosen);
  };
  themeButton.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    themed();
  });
  dark.addEventListener("change", themed);

  featureTable.filter();
  if (rows) startRows();
  themed();
  document.documentElement.dataset.ready = "true";
  performance.mark("report-ready");
})();
