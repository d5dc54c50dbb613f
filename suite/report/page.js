"use strict";
(() => {
  const collator = new Intl.Collator("en");
  const byId = (id) => document.getElementById(id);

  // sorting: keys are numbers where all of a column are; an empty key stays last in both directions
  function sort(table, column, descending) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, order) => ({ row, order, key: row.cells[column].dataset.k }));
    const numeric = rows.every(({ key }) => key === "" || !Number.isNaN(Number(key)));
    for (const item of rows) item.value = numeric && item.key !== "" ? Number(item.key) : item.key;
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.order - b.order;
      const difference = numeric ? a.value - b.value : collator.compare(a.value, b.value);
      return sign * difference || a.order - b.order;
    });
    const fragment = document.createDocumentFragment();
    for (const { row } of rows) fragment.append(row);
    body.append(fragment);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(table, column, descending);
      });
    });
  }

  const which = byId("which");
  which.addEventListener("change", () => {
    for (const part of document.querySelectorAll("[data-board]")) part.hidden = part.dataset.board !== which.value;
  });

  // filtering: all words must occur in a row, in any order
  const runs = byId("runs");
  const texts = new Map(Array.from(runs.tBodies[0].rows, (row) => [
    row, Array.from(row.cells, (cell) => cell.title || cell.textContent).join(" ").toLowerCase() + " " + row.dataset.run,
  ]));
  function filter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const status = byId("status").value;
    let shown = 0;
    for (const [row, text] of texts) {
      const keep = (!status || row.dataset.s === status) && words.every((word) => text.includes(word));
      row.hidden = !keep;
      shown += keep;
    }
    byId("count").textContent = `${shown} of ${texts.size} runs`;
  }
  byId("filter").addEventListener("input", filter);
  byId("status").addEventListener("change", filter);

  const SVG = "http://www.w3.org/2000/svg";
  function svg(name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function ticks(low, high, log) {
    if (log) {
      const first = Math.ceil(low), last = Math.floor(high), step = Math.max(1, Math.ceil((last - first) / 4));
      const found = [];
      for (let power = first; power <= last; power += step) found.push([power, `1e${power}`]);
      return found.length > 1 ? found : [[low, (10 ** low).toPrecision(2)], [high, (10 ** high).toPrecision(2)]];
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
    root.append(svg("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "depth p"));
    caption.append(`${curve.title}: `);
    curve.lines.forEach((line, index) => {
      let path = "", pen = "M";
      line.y.forEach((y, i) => {
        if (!usable(y)) { pen = "M"; return; }
        path += `${pen}${px(curve.x[i]).toFixed(1)} ${py(scale(y)).toFixed(1)}`;
        pen = "L";
      });
      root.append(svg("path", { class: `curve l${index % 6}`, d: path }));
      if (curve.lines.length > 1) {
        const key = document.createElement("span");
        const swatch = svg("svg", { viewBox: "0 0 16 8", "aria-hidden": "true" });
        swatch.append(svg("path", { class: `curve l${index % 6}`, d: "M0 4H16" }));
        key.append(swatch, line.label);
        caption.append(key);
      }
    });
    figure.append(root, caption);
    return figure;
  }

  let data = null;
  const panel = byId("panel");
  function open(id) {
    data ??= JSON.parse(byId("data").textContent).runs;
    const run = data[id];
    if (!run) return;
    const fact = Object.fromEntries(run.facts);
    byId("panel-title").textContent = `${fact.baseline} on ${fact.task}, seed ${fact.seed}`;
    byId("panel-curves").replaceChildren(...run.curves.map(plot));
    byId("panel-facts").replaceChildren(...run.facts.flatMap(([name, value]) => {
      const term = document.createElement("dt"), description = document.createElement("dd");
      term.textContent = name;
      description.textContent = value;
      return [term, description];
    }));
    if (!panel.open) panel.showModal();
    history.replaceState(null, "", `#run-${id}`);
  }
  panel.addEventListener("close", () => history.replaceState(null, "", "#"));
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
  runs.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) open(row.dataset.run);
  });
  if (location.hash.startsWith("#run-")) open(location.hash.slice(5));
})();
