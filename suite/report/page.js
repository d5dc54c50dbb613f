"use strict";
(() => {
  const collator = new Intl.Collator("en");
  const byId = (id) => document.getElementById(id);

  // order of items by their keys: numbers where all are; an empty key stays last in both directions
  function ordered(items, key, descending) {
    const numeric = items.every((item) => key(item) === "" || !Number.isNaN(Number(key(item))));
    const decorated = items.map((item, place) => {
      const text = key(item);
      return { item, place, empty: text === "", value: numeric ? Number(text) : text };
    });
    const sign = descending ? -1 : 1;
    decorated.sort((a, b) => {
      if (a.empty || b.empty) return a.empty - b.empty || a.place - b.place;
      const difference = numeric ? a.value - b.value : collator.compare(a.value, b.value);
      return sign * difference || a.place - b.place;
    });
    return decorated.map(({ item }) => item);
  }

  function onSort(table, sort) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(column, descending);
      });
    });
  }

  for (const table of document.querySelectorAll("[data-board] table")) {
    onSort(table, (column, descending) => {
      const body = table.tBodies[0];
      body.append(...ordered(Array.from(body.rows), (row) => row.cells[column].dataset.k, descending));
    });
  }

  const which = byId("which");
  which.addEventListener("change", () => {
    for (const part of document.querySelectorAll("[data-board]")) part.hidden = part.dataset.board !== which.value;
  });

  // the runs live in the data; the document holds as many rows as were asked for, so that thousands stay quick
  const data = JSON.parse(byId("data").textContent);
  const runs = byId("runs"), body = runs.tBodies[0], PAGE = 200;
  const rows = data.rows.map(([id, status, shown, keys, titles]) => ({
    id, status, shown, keys, titles,
    text: `${shown.map((text, i) => titles[i] || text).join(" ")} ${id}`.toLowerCase(),
  }));
  let order = rows, matching = rows, limit = PAGE;

  function element(run) {
    const row = document.createElement("tr");
    row.dataset.run = run.id;
    row.dataset.s = run.status;
    run.shown.forEach((text, i) => {
      const cell = row.insertCell();
      if (run.titles[i]) cell.title = run.titles[i];
      if (i < run.shown.length - 1) { cell.textContent = text; return; }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "open";
      button.textContent = text;
      cell.append(button);
    });
    return row;
  }

  function show() {
    const part = document.createDocumentFragment();
    for (const run of matching.slice(0, limit)) part.append(run.row ??= element(run));
    body.replaceChildren(part);
    byId("more").hidden = matching.length <= limit;
    byId("count").textContent = `${matching.length} of ${rows.length} runs`;
  }

  // all words must occur in a row, in any order
  function filter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const status = byId("status").value;
    matching = order.filter((run) => (!status || run.status === status) && words.every((word) => run.text.includes(word)));
    show();
  }
  byId("filter").addEventListener("input", filter);
  byId("status").addEventListener("change", filter);
  byId("next").addEventListener("click", () => { limit += PAGE; show(); });
  byId("all").addEventListener("click", () => { limit = rows.length; show(); });
  onSort(runs, (column, descending) => {
    order = ordered(rows, (run) => run.keys[column], descending);
    filter();
  });
  show();

  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // a power of ten as people write it, and with an exponent where that is long
  const plain = (value) => (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? String(Number(value.toPrecision(3))) : value.toExponential(0).replace("e+", "e"));

  // [place on the axis, label]: powers of ten where there are several, else 1, 2 and 5 times them, else round numbers
  function ticks(low, high, log) {
    if (log) {
      const first = Math.ceil(low), last = Math.floor(high), step = Math.max(1, Math.ceil((last - first) / 4));
      const found = [];
      if (last - first >= 2) {
        for (let power = first; power <= last; power += step) found.push([power, plain(10 ** power)]);
        return found;
      }
      for (let power = first - 1; power <= last + 1; power += 1) {
        for (const factor of [1, 2, 5]) {
          const place = power + Math.log10(factor);
          if (place >= low && place <= high) found.push([place, plain(factor * 10 ** power)]);
        }
      }
      if (found.length > 1) return found;
      return ticks(10 ** low, 10 ** high, false).map(([value, label]) => [Math.log10(value), label]);
    }
    const raw = (high - low) / 4, size = 10 ** Math.floor(Math.log10(raw));
    const step = size * [1, 2, 5, 10].find((factor) => factor * size >= raw);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push([i * step, String(Number((i * step).toPrecision(6)))]);
    return found;
  }

  function plot(curve) {
    const width = 340, height = 220, left = 48, right = 8, top = 8, bottom = 34;
    const scale = (y) => (curve.log ? Math.log10(y) : y);
    const largest = Math.max(...curve.lines.flatMap((line) => line.y.filter((y) => y !== null)));
    const floor = curve.log ? largest * 1e-8 : -Infinity;
    const usable = (y) => y !== null && (!curve.log || y > floor);
    const values = curve.lines.flatMap((line) => line.y.filter(usable).map(scale));
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    if (!values.length) { caption.textContent = `${curve.title}: nothing to draw`; figure.append(caption); return figure; }
    let low = Math.min(...values), high = Math.max(...values);
    if (high - low < 1e-12) { low -= 0.5; high += 0.5; }
    const margin = 0.05 * (high - low);
    low -= margin; high += margin;
    const px = (x) => left + x * (width - left - right);
    const py = (y) => top + ((high - y) / (high - low)) * (height - top - bottom);
    const root = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${curve.title} along the depth` });
    for (const x of [0, 0.25, 0.5, 0.75, 1]) {
      root.append(svg("line", { class: "grid", x1: px(x), x2: px(x), y1: top, y2: height - bottom }));
      root.append(svg("text", { x: px(x), y: height - bottom + 14, "text-anchor": "middle" }, String(x)));
    }
    for (const [value, label] of ticks(low, high, curve.log)) {
      root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: py(value), y2: py(value) }));
      root.append(svg("text", { x: left - 4, y: py(value) + 4, "text-anchor": "end" }, label));
    }
    if (curve.mark && scale(curve.mark) > low && scale(curve.mark) < high) {
      const y = py(scale(curve.mark));
      root.append(svg("line", { class: "zero", x1: left, x2: width - right, y1: y, y2: y }));
      root.append(svg("text", { x: left + 4, y: y - 4 }, `true rank ${curve.mark}`));
    }
    root.append(svg("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "depth p"));
    caption.append(curve.lines.length > 1 ? `${curve.title}: ` : curve.title);
    curve.lines.forEach((line, index) => {
      let path = "", pen = "M";
      line.y.forEach((y, i) => {
        if (!usable(y)) { pen = "M"; return; }
        path += `${pen}${px(curve.x[i]).toFixed(1)} ${py(scale(y)).toFixed(1)}`;
        pen = "L";
      });
      root.append(svg("path", { class: `curve k${index}`, d: path }));
      if (curve.lines.length > 1) {
        const key = document.createElement("span");
        const swatch = svg("svg", { viewBox: "0 0 16 8", "aria-hidden": "true" });
        swatch.append(svg("path", { class: `curve k${index}`, d: "M0 4H16" }));
        key.append(swatch, line.label);
        caption.append(key);
      }
    });
    figure.append(caption, root);
    return figure;
  }

  const panel = byId("panel");
  function fill(title, curves, facts) {
    byId("panel-title").textContent = title;
    byId("panel-curves").replaceChildren(...curves.map(plot));
    byId("panel-facts").replaceChildren(...facts.flatMap(([name, value]) => {
      const term = document.createElement("dt"), description = document.createElement("dd");
      term.textContent = name;
      description.textContent = value;
      if (value.length > 60) term.className = description.className = "long";
      return [term, description];
    }));
    if (!panel.open) panel.showModal();
  }

  // the panels of all runs are compressed JSON, unpacked when the first is opened
  let unpacked = null;
  async function unpack() {
    const bytes = Uint8Array.from(atob(byId("panels").textContent), (char) => char.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  async function open(id) {
    byId("panel-more").hidden = true;
    let panels;
    try {
      panels = await (unpacked ??= unpack());
    } catch (error) {
      fill(id, [], [["not shown", `this browser could not unpack the run (${error})`]]);
      return;
    }
    const run = panels[id];
    if (!run) return;
    const fact = Object.fromEntries(run.facts);
    fill(`${fact.baseline} on ${fact.task}, seed ${fact.seed}`, run.curves, run.facts);
    history.replaceState(null, "", `#run-${id}`);
  }

  // a row of the board: where its numbers come from, and the way to its runs
  let words = "";
  document.querySelectorAll("[data-board]").forEach((part, section) => {
    part.addEventListener("click", (event) => {
      const button = event.target.closest("[data-row]");
      if (!button) return;
      const row = data.boards[section][button.dataset.row];
      words = row.words;
      byId("panel-more").hidden = false;
      fill(row.name, [], row.facts);
    });
  });
  byId("panel-more").addEventListener("click", () => {
    byId("filter").value = words;
    byId("status").value = "";
    filter();
    panel.close();
    byId("h-runs").scrollIntoView();
  });
  panel.addEventListener("close", () => history.replaceState(null, "", "#"));
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) open(row.dataset.run);
  });
  if (location.hash.startsWith("#run-")) open(location.hash.slice(5));
})();
