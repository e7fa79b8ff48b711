"use strict";
// Draws the facts. A name or a message of a file becomes the text of a node, through `shown`; nothing is parsed as markup.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const tensors = facts.tensors;
  const numTensors = tensors.name.length;
  const last = facts.checkpoints[facts.checkpoints.length - 1];
  const ROW_HEIGHT = 28;
  const ROWS_ON_PAPER = 200;
  const MAX_CHILDREN = 150;
  const CELLS = 1000;

  const $ = (id) => document.getElementById(id);

  /** What a person can see of a name: control, invisible and direction-changing characters are spelled out. */
  function shown(text) {
    return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
      const code = character.codePointAt(0);
      if (code >= 0xdc80 && code <= 0xdcff) return "\\x" + (code - 0xdc00).toString(16);
      if (code < 0x80) return "\\x" + code.toString(16).padStart(2, "0");
      return code < 0x10000 ? "\\u" + code.toString(16).padStart(4, "0") : "\\U" + code.toString(16).padStart(8, "0");
    });
  }

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  function vector(tag, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const integer = (value) => value.toLocaleString("en-US");
  const counted = (value, noun) => `${integer(value)} ${noun}${value === 1 ? "" : "s"}`;
  const size = (bytes) => {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    while (bytes >= 999.95 && unit < units.length - 1) { bytes /= 1000; unit++; }
    return unit ? `${bytes.toFixed(1)} ${units[unit]}` : `${bytes} B`;
  };
  const number = (value) => (value === null || value === undefined ? "" : String(Number(value.toPrecision(4))));
  /** In at most eight characters. */
  const brief = (value) => {
    const text_ = String(Number(value.toPrecision(4)));
    return text_.length <= 8 ? text_ : value.toExponential(2).replace("e+", "e");
  };
  const percent = (value) => {
    if (value === null || value === undefined) return "";
    const share = value * 100;
    return `${share >= 100 ? Math.round(share).toLocaleString("en-US") : Number(share.toPrecision(3))}%`;
  };
  const shape = (index) => (tensors.shape[index] === null ? "" : `[${tensors.shape[index].join(",")}]`);
  const dtype = (index) => tensors.dtypes[tensors.dtype[index]] || "";
  const stat = (index, place) => (tensors.stats[index] ? tensors.stats[index][place] : null);
  const isDamaged = (index) => index in tensors.errors;
  const numPieces = (index) => (tensors.pieces[index] ? tensors.pieces[index].length : 0);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const pathOf = (name) => { const at = name.indexOf("/.ATTRIBUTES/"); return at < 0 ? name : name.slice(0, at); };

  function table(columns, rows) {
    const head = element("tr", {}, ...columns.map(([title, kind]) => element("th", { scope: "col", class: kind }, title)));
    const body = rows.map((row) =>
      element("tr", {}, ...row.map((cell, place) => element("td", { class: columns[place][1] }, cell))));
    return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  }

  // Charts are made again when the colours change.
  const charts = [];
  function chart(id, optionOf, onClick) {
    const place = typeof id === "string" ? $(id) : id;
    const made = echarts.init(place, null, { renderer: "svg" });
    const draw = () => made.setOption(optionOf(), true);
    draw();
    if (onClick) made.on("click", onClick);
    charts.push({ made, draw });
    return { made, draw };
  }
  const forget = (entry) => { charts.splice(charts.findIndex((each) => each.made === entry.made), 1); entry.made.dispose(); };
  const redraw = () => charts.forEach((entry) => entry.draw());
  const resize = () => charts.forEach((entry) => entry.made.resize());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", resize);
  const text = () => ({ color: color("ink"), fontFamily: "inherit" });
  const tooltip = () => ({
    renderMode: "richText", confine: true, backgroundColor: color("card"), borderColor: color("line"), textStyle: { color: color("ink") },
  });

  // The head of the page.
  function drawHead() {
    $("path").textContent = shown(facts.checkpoints.length > 1 ? `${facts.checkpoints[0].path} … ${last.path}` : last.path);
    const what = [last.kind];
    if (facts.checkpoints.length > 1) what.push(`the last of ${facts.checkpoints.length} checkpoints`);
    if (last.byte_order === "big") what.push("big-endian");
    if (last.object_based) what.push("object-based");
    $("kind").textContent = what.join(", ");
    const tiles = [
      ["Tensors", integer(last.num_tensors)], ["Parameters", integer(last.num_parameters)], ["Values", size(last.num_bytes)],
    ];
    if (last.num_shards) tiles.push(["Data files", integer(last.num_shards)]);
    for (const each of last.optimizers) tiles.push([`State of ${shown(each.name)}`, size(each.num_bytes)]);
    const numBad = tensors.stats.filter((each) => each && each[4] + each[5]).length;
    tiles.push(["With NaN or infinity", integer(numBad), numBad > 0]);
    tiles.push(["Damaged", integer(last.num_damaged), last.num_damaged > 0]);
    $("tiles").append(...tiles.map(([title, value, isBad]) =>
      element("div", { class: isBad ? "problem" : "" }, element("dt", {}, title), element("dd", {}, value))));
    $("version").textContent = facts.tfsaver;
    for (const section of document.querySelectorAll("main > section:not([hidden])")) {
      $("sections").append(element("li", {}, element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
    }
  }

  function drawDamage() {
    const items = [];
    for (const checkpoint of facts.checkpoints.slice(0, -1)) {
      if (checkpoint.num_damaged) items.push(element("li", {}, shown(`${checkpoint.path}: ${counted(checkpoint.num_damaged, "damaged tensor")}`)));
    }
    const damaged = Object.keys(tensors.errors).map(Number);
    for (const index of damaged.slice(0, 100)) {
      items.push(element("li", {}, element("code", {}, shown(tensors.name[index])), ` ${shown(tensors.errors[index])}`));
    }
    if (damaged.length > 100) items.push(element("li", {}, `and ${integer(damaged.length - 100)} more: choose “damaged” in the table of tensors`));
    $("damage").hidden = !items.length;
    $("damage-list").append(...items);
  }

  // The treemap.
  function makeTree(byRole) {
    const root = { name: "all", bytes: 0, count: 0, roles: facts.roles.map(() => 0), children: new Map(), index: -1 };
    for (let index = 0; index < numTensors; index++) {
      if (!tensors.bytes[index]) continue;
      const parts = pathOf(tensors.name[index]).split("/");
      if (byRole) parts.unshift(facts.roles[tensors.role[index]]);
      let node = root;
      for (let place = -1; place < parts.length; place++) {
        if (place >= 0) {
          let next = node.children.get(parts[place]);
          if (!next) {
            next = { name: parts[place], bytes: 0, count: 0, roles: facts.roles.map(() => 0), children: new Map(), index: -1 };
            node.children.set(parts[place], next);
          }
          node = next;
        }
        node.bytes += tensors.bytes[index];
        node.count++;
        node.roles[tensors.role[index]] += tensors.bytes[index];
      }
      node.index = index;
    }
    return root;
  }

  const mainRole = (node) => node.roles.indexOf(Math.max(...node.roles));

  /** Children by size, chains of one joined, many small ones as one. */
  function childrenOf(node) {
    let below = [...node.children.values()];
    // A tensor with others below its name, such as its slots, has a place of its own.
    if (node.index >= 0 && below.length) {
      const role = tensors.role[node.index];
      const bytes = tensors.bytes[node.index];
      below.push({ name: "(value)", bytes, count: 1, roles: facts.roles.map((_, place) => (place === role ? bytes : 0)), children: new Map(), index: node.index });
    }
    below = below.map((child) => {
      let name = child.name;
      while (child.index < 0 && child.children.size === 1) {
        child = child.children.values().next().value;
        name = `${name}/${child.name}`;
      }
      return { ...child, name };
    });
    below.sort((a, b) => b.bytes - a.bytes);
    if (below.length > MAX_CHILDREN) {
      const rest = below.slice(MAX_CHILDREN);
      const roles = facts.roles.map((_, role) => rest.reduce((sum, child) => sum + child.roles[role], 0));
      below = below.slice(0, MAX_CHILDREN);
      below.push({
        name: `${integer(rest.length)} smaller`, bytes: rest.reduce((sum, child) => sum + child.bytes, 0),
        count: rest.reduce((sum, child) => sum + child.count, 0), roles, children: new Map(), index: -1,
      });
    }
    return below;
  }

  function treemapData(node, colors) {
    return childrenOf(node).map((child) => ({
      name: shown(child.name), value: child.bytes, count: child.count, index: child.index,
      itemStyle: { color: colors[mainRole(child)], ...(child.children.size ? { borderColor: colors.scope } : {}) },
      ...(child.children.size ? { children: treemapData(child, colors) } : {}),
    }));
  }

  function drawTreemap() {
    let byRole = false;
    const option = () => {
      const colors = facts.roles.map((role) => color(role));
      colors.scope = color("empty");
      const border = color("card");
      return {
        animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
        tooltip: {
          ...tooltip(),
          formatter: (item) => {
            const path = item.treePathInfo.slice(1).map((each) => each.name).join("/");
            const share = last.num_bytes ? `, ${percent(item.value / last.num_bytes)}` : "";
            return `${path}\n${size(item.value)}${share}, ${counted(item.data ? item.data.count || 0 : 0, "tensor")}`;
          },
        },
        series: [{
          type: "treemap", name: "all", data: treemapData(makeTree(byRole), colors), leafDepth: numTensors > 2000 ? 3 : null, roam: false, width: "100%",
          left: 0, right: 0, top: 0, bottom: 34, visibleMin: 40, drillDownIcon: "",
          breadcrumb: {
            bottom: 0, height: 24, itemStyle: { color: color("hover"), borderColor: color("line"), textStyle: { color: color("ink") } },
            emphasis: { itemStyle: { color: color("line"), textStyle: { color: color("ink") } } },
          },
          label: { color: color("on-role"), fontSize: 12, lineHeight: 16, position: [6, 6], overflow: "truncate", formatter: (item) => `${item.name}\n${size(item.value)}` },
          upperLabel: { show: true, height: 20, color: color("ink"), fontSize: 12, overflow: "truncate", formatter: (item) => `${item.name}  ${size(item.value)}` },
          itemStyle: { borderColor: border, borderWidth: 1, gapWidth: 1 },
          levels: [{ itemStyle: { borderWidth: 0, gapWidth: 3, borderColor: border }, upperLabel: { show: false } }],
        }],
      };
    };
    const entry = chart("treemap", option, (event) => {
      if (event.data && event.data.index >= 0) choose(event.data.index);
    });
    for (const radio of document.querySelectorAll("input[name=group]")) {
      radio.addEventListener("change", () => { byRole = radio.value === "role"; entry.draw(); });
    }
    const root = makeTree(false);
    const scopes = [];
    const collect = (node, prefix, depth) => {
      for (const child of childrenOf(node)) {
        const name = prefix ? `${prefix}/${child.name}` : child.name;
        scopes.push({ name, child });
        if (depth < 2) collect(child, name, depth + 1);
      }
    };
    collect(root, "", 0);
    scopes.sort((a, b) => b.child.bytes - a.child.bytes);
    $("scopes").append(table(
      [["Scope", "name"], ["Tensors", "number"], ["Bytes", "number"], ["Share", "number"], ["Mostly", ""]],
      scopes.slice(0, 100).map(({ name, child }) => [
        shown(name), integer(child.count), size(child.bytes), percent(child.bytes / root.bytes), facts.roles[mainRole(child)],
      ])));
    const present = new Set(tensors.role);
    $("treemap").setAttribute("aria-label", `Treemap of ${size(root.bytes)} by scope: ${scopes.slice(0, 5).map(({ name, child }) => `${shown(name)} ${size(child.bytes)}`).join(", ")}. The table below has the same numbers.`);
    $("roles").append(...facts.roles.map((role, place) => present.has(place)
      ? element("li", {}, element("span", { class: `swatch role-${place}` }), role) : ""));
  }

  // The table.
  const COLUMNS = [
    { title: "Name", width: null, key: (i) => tensors.name[i] },
    { title: "Type", width: 76, key: dtype },
    { title: "Shape", width: 104, key: (i) => (tensors.shape[i] || []).reduce((product, each) => product * each, 1), text: shape, descends: true },
    { title: "Size", width: 82, key: (i) => tensors.bytes[i], text: (i) => size(tensors.bytes[i]), kind: "number", descends: true },
    { title: "Min", width: 88, key: (i) => stat(i, 0), kind: "number" },
    { title: "Max", width: 88, key: (i) => stat(i, 1), kind: "number", descends: true },
    { title: "Norm", width: 80, key: (i) => stat(i, 3), kind: "number", descends: true },
    { title: "NaN, inf", width: 82, key: (i) => (tensors.stats[i] ? stat(i, 4) + stat(i, 5) : null), kind: "number", descends: true },
    { title: "Values", width: 104, key: null },
  ];
  let order = [];
  let sorting = { column: 0, descends: false };
  let chosen = -1;
  let focused = 0;
  let isPrinting = false;
  const names = tensors.name.map(shown);
  const lowered = names.map((name) => name.toLowerCase());

  function matcher() {
    const typed = $("search").value;
    const form = /^\/(.*)\/$/.exec(typed);
    $("search").removeAttribute("aria-invalid");
    if (!form) {
      const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
      return (index) => words.every((word) => lowered[index].includes(word));
    }
    try {
      const pattern = new RegExp(form[1], "u");
      return (index) => pattern.test(names[index]);
    } catch {
      $("search").setAttribute("aria-invalid", "true");
      return () => false;
    }
  }

  function filter() {
    const isMatch = matcher();
    const [role, type, state] = ["role", "dtype", "state"].map((id) => $(id).value);
    order = [];
    for (let index = 0; index < numTensors; index++) {
      if (role !== "" && tensors.role[index] !== Number(role)) continue;
      if (type !== "" && tensors.dtype[index] !== Number(type)) continue;
      if (state === "damaged" && !isDamaged(index)) continue;
      if (state === "nan" && !(tensors.stats[index] && stat(index, 4) + stat(index, 5))) continue;
      if (state === "sliced" && numPieces(index) < 2) continue;
      if (state === "zero" && !(tensors.stats[index] && stat(index, 0) === 0 && stat(index, 1) === 0)) continue;
      if (isMatch(index)) order.push(index);
    }
    sort();
    const bytes = order.reduce((sum, index) => sum + tensors.bytes[index], 0);
    $("count").textContent = `${integer(order.length)} of ${counted(numTensors, "tensor")}, ${size(bytes)}`;
  }

  function sort() {
    const { column, descends } = sorting;
    const keyOf = COLUMNS[column].key;
    const keys = new Map(order.map((index) => [index, keyOf(index)]));
    const sign = descends ? -1 : 1;
    order.sort((a, b) => {
      const [one, other] = [keys.get(a), keys.get(b)];
      // What has no value is last in either order.
      if (one === null || other === null) return one === other ? a - b : one === null ? 1 : -1;
      return one < other ? -sign : one > other ? sign : a - b;
    });
    focused = 0;
    $("rows").scrollTop = 0;
    drawRows();
  }

  function drawColumns() {
    $("head").append(...COLUMNS.map((column, place) => {
      const cell = element("th", { scope: "col", class: column.kind, style: column.width && `width:${column.width}px` });
      if (!column.key) {
        cell.append(element("span", { class: "title" }, column.title));
        return cell;
      }
      const mark = element("span", { "aria-hidden": "true" });
      cell.append(element("button", {
        type: "button",
        onclick: () => {
          sorting = { column: place, descends: sorting.column === place ? !sorting.descends : Boolean(column.descends) };
          drawMarks();
          sort();
        },
      }, column.title, mark));
      return cell;
    }));
    drawMarks();
  }

  function drawMarks() {
    [...$("head").children].forEach((cell, place) => {
      const isSorted = place === sorting.column;
      if (isSorted) cell.setAttribute("aria-sort", sorting.descends ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
      const mark = cell.querySelector("button > span");
      if (mark) mark.textContent = isSorted ? (sorting.descends ? " ▾" : " ▴") : "";
    });
  }

  /** A name whose middle is cut where the column is too narrow, behind the colour of its role. */
  function cut(index) {
    // What TensorFlow 2 writes behind every variable's path says nothing.
    const name = names[index].replace(/\/\.ATTRIBUTES\/VARIABLE_VALUE$/, "");
    const at = Math.max(0, name.length - 22);
    const role = facts.roles[tensors.role[index]];
    return element("div", { class: "cut", title: `${names[index]} (${role})` },
      element("i", { class: `swatch role-${tensors.role[index]}` }), element("b", { class: "unseen" }, `${role}: `),
      element("span", { class: "head" }, name.slice(0, at)), element("span", { class: "tail" }, name.slice(at)));
  }

  function spark(index) {
    const found = tensors.histogram[index];
    if (!found || found[2].length < 2) return "";
    const counts = found[2];
    const most = Math.max(...counts);
    const image = vector("svg", { class: "spark", viewBox: `0 0 ${counts.length} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
    let outline = "";
    counts.forEach((each, place) => {
      const height = each ? Math.max(1, (20 * each) / most) : 0;
      outline += `M${place} 20v-${height}h.9v${height}z`;
    });
    image.append(vector("path", { d: outline }));
    return image;
  }

  function row(place) {
    const index = order[place];
    const made = element("tr", {
      class: isDamaged(index) ? "row damaged" : "row", "aria-rowindex": place + 2, "aria-selected": index === chosen ? "true" : "false",
      tabindex: place === focused ? 0 : -1, "data-place": place,
    });
    COLUMNS.forEach((column, number_) => {
      const cell = element("td", { class: column.kind });
      if (number_ === 0) cell.append(cut(index));
      else if (!column.key) cell.append(isDamaged(index) ? "damaged" : spark(index));
      else if (column.text) cell.append(column.text(index));
      else {
        const value = column.key(index);
        cell.append(typeof value === "number" ? brief(value) : value === null ? "" : shown(value));
      }
      made.append(cell);
    });
    return made;
  }

  function space(height) {
    const cell = element("td", { colspan: COLUMNS.length });
    cell.style.height = `${height}px`;
    return element("tr", { class: "space", "aria-hidden": "true" }, cell);
  }

  function drawRows() {
    const view = $("rows");
    const first = isPrinting ? 0 : Math.max(0, Math.floor(view.scrollTop / ROW_HEIGHT) - 10);
    const end = Math.min(order.length, isPrinting ? ROWS_ON_PAPER : first + Math.ceil(view.clientHeight / ROW_HEIGHT) + 20);
    const hadFocus = $("body").contains(document.activeElement);
    const made = [];
    if (first) made.push(space(first * ROW_HEIGHT));
    for (let place = first; place < end; place++) made.push(row(place));
    if (end < order.length && !isPrinting) made.push(space((order.length - end) * ROW_HEIGHT));
    if (focused < first || focused >= end) {
      // The table stays in the tab order while its row is out of sight.
      const standIn = made.find((each) => each.className.startsWith("row"));
      if (standIn && !hadFocus) standIn.tabIndex = 0;
    }
    $("grid").setAttribute("aria-rowcount", order.length + 1);
    $("body").replaceChildren(...made);
    if (hadFocus) {
      const current = $("body").querySelector(`[data-place="${focused}"]`);
      if (current) current.focus({ preventScroll: true });
    }
  }

  function focusRow(place) {
    focused = Math.max(0, Math.min(order.length - 1, place));
    const view = $("rows");
    const head = $("head").offsetHeight;
    const top = focused * ROW_HEIGHT;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + ROW_HEIGHT > view.scrollTop + view.clientHeight - head) view.scrollTop = top + ROW_HEIGHT - view.clientHeight + head;
    drawRows();
    const current = $("body").querySelector(`[data-place="${focused}"]`);
    if (current) current.focus({ preventScroll: true });
  }

  let histogramChart = null;
  function choose(index) {
    chosen = index;
    drawRows();
    if (histogramChart) { forget(histogramChart); histogramChart = null; }
    const list = [];
    const add = (term, value) => { if (value !== "" && value !== null) list.push(element("dt", {}, term), element("dd", {}, value)); };
    if (isDamaged(index)) add("Damaged", element("span", { class: "problem" }, shown(tensors.errors[index])));
    add("Type", dtype(index));
    add("Shape", shape(index));
    add("Size", `${size(tensors.bytes[index])} (${counted(tensors.bytes[index], "byte")})`);
    add("Role", facts.roles[tensors.role[index]]);
    add("Why", shown(tensors.why[index]));
    if (tensors.stats[index]) {
      ["Min", "Max", "Mean", "L2 norm"].forEach((title, place) => add(title, number(stat(index, place))));
      ["NaN", "Infinite", "Zero"].forEach((title, place) => add(title, integer(stat(index, place + 4))));
    }
    const pieces = tensors.pieces[index] || [];
    const place = ([shard, offset, length]) => `file ${shard}` + (offset === null ? "" : `, bytes ${integer(offset)} to ${integer(offset + length)}`);
    if (pieces.length === 1) add("Stored in", place(pieces[0]) + (pieces[0].length > 3 ? `, slice ${pieces[0][3]}` : ""));
    const parts = [element("h3", {}, names[index]), element("dl", {}, ...list)];
    if (pieces.length > 1) {
      parts.push(element("details", {}, element("summary", {}, counted(pieces.length, "slice")),
        table([["Slice", "name"], ["Stored in", ""]], pieces.slice(0, 1000).map((piece) => [piece[3] || "", place(piece)]))));
    }
    const found = tensors.histogram[index];
    let canvas = null;
    if (found) {
      canvas = element("div", { class: "chart", role: "img" });
      parts.push(canvas);
    }
    $("details").replaceChildren(...parts);
    if (found) drawHistogram(canvas, found);
  }

  function drawHistogram(place, [exponent, first, counts]) {
    const edge = (bin) => number((first + bin) * 2 ** exponent);
    const total = counts.reduce((sum, each) => sum + each, 0);
    const most = counts.indexOf(Math.max(...counts));
    place.setAttribute("aria-label", `Histogram of ${integer(total)} values in ${counted(counts.length, "bin")}; most, ${integer(counts[most])}, from ${edge(most)} to ${edge(most + 1)}`);
    histogramChart = chart(place, () => ({
      animation: false, grid: { left: 8, right: 12, top: 22, bottom: 4, containLabel: true },
      title: { text: "Histogram", textStyle: { ...text(), fontSize: 12, color: color("dim") }, top: 0, left: 0 },
      tooltip: {
        ...tooltip(), trigger: "axis", axisPointer: { type: "shadow" },
        formatter: ([item]) => `${edge(item.dataIndex)} to ${edge(item.dataIndex + 1)}\n${counted(item.value, "value")}, ${percent(item.value / total)}`,
      },
      xAxis: {
        type: "category", data: counts.map((_, bin) => edge(bin)), axisTick: { show: false },
        axisLine: { lineStyle: { color: color("line") } }, axisLabel: { color: color("dim"), fontSize: 10, hideOverlap: true },
      },
      yAxis: {
        type: "value", axisLabel: { color: color("dim"), fontSize: 10, formatter: (value) => (value >= 1000 ? Intl.NumberFormat("en", { notation: "compact" }).format(value) : value) },
        splitLine: { lineStyle: { color: color("line") } },
      },
      series: [{ type: "bar", data: counts, barCategoryGap: "6%", itemStyle: { color: color("accent") } }],
    }));
  }

  function drawTable() {
    const options = (id, all, entries) => $(id).append(element("option", { value: "" }, all), ...entries.map(([value, title]) => element("option", { value }, title)));
    const present = [...new Set(tensors.role)].sort();
    options("role", "all roles", present.map((role) => [role, facts.roles[role]]));
    options("dtype", "all types", tensors.dtypes.map((name, place) => [place, name]));
    options("state", "all", [["damaged", "damaged"], ["nan", "with NaN or infinity"], ["zero", "all zero"], ["sliced", "in slices"]]);
    let waiting = 0;
    $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, numTensors > 5000 ? 120 : 0); });
    for (const id of ["role", "dtype", "state"]) $(id).addEventListener("change", filter);
    let isDue = false;
    $("rows").addEventListener("scroll", () => {
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(() => { isDue = false; drawRows(); });
    });
    const placeOf = (event) => { const found = event.target.closest("tr.row"); return found ? Number(found.dataset.place) : -1; };
    $("body").addEventListener("click", (event) => {
      const place = placeOf(event);
      if (place >= 0) { focused = place; choose(order[place]); focusRow(place); }
    });
    $("body").addEventListener("keydown", (event) => {
      const page = Math.max(1, Math.floor($("rows").clientHeight / ROW_HEIGHT) - 2);
      const moves = { ArrowDown: focused + 1, ArrowUp: focused - 1, PageDown: focused + page, PageUp: focused - page, Home: 0, End: order.length - 1 };
      if (event.key in moves) { event.preventDefault(); focusRow(moves[event.key]); }
      else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(order[focused]); }
    });
    $("body").addEventListener("focusin", (event) => { const place = placeOf(event); if (place >= 0) focused = place; });
    // As high as its rows, up to what the style allows.
    $("rows").style.height = `${Math.min(560, (numTensors + 2) * ROW_HEIGHT + 12)}px`;
    drawColumns();
    filter();
    $("details").append(element("p", { class: "hint" }, "Choose a tensor to see its numbers and its histogram."));
  }

  // The data files.
  function drawFiles() {
    const shards = facts.files.filter((file) => file.shard_id !== null);
    if (!shards.length) return;
    $("files").hidden = false;
    const pieces = new Map(shards.map((file) => [file.shard_id, []]));
    for (let index = 0; index < numTensors; index++) {
      for (const [shard, offset, length] of tensors.pieces[index] || []) {
        if (pieces.has(shard)) pieces.get(shard).push([offset, length, index]);
      }
    }
    for (const file of shards) {
      const inside = pieces.get(file.shard_id);
      const numDamaged = new Set(inside.filter((piece) => isDamaged(piece[2])).map((piece) => piece[2])).size;
      const label = [file.size === null ? "missing" : size(file.size), counted(inside.length, "piece"), ...(numDamaged ? [`${integer(numDamaged)} damaged`] : [])];
      const sound = file.size === null || numDamaged;
      const box = element("div", { class: file.size === null ? "shard missing" : "shard" },
        element("p", {}, element("code", {}, shown(file.path)), element("span", { class: sound ? "problem" : "hint" }, label.join(", "))));
      const hasOffsets = inside.every((piece) => piece[0] !== null);
      if (file.size === null || hasOffsets) box.append(bar(file, inside.sort((a, b) => a[0] - b[0]), label));
      $("shards").append(box);
    }
  }

  function bar(file, inside, label) {
    const image = vector("svg", { viewBox: `0 0 ${CELLS} 20`, preserveAspectRatio: "none", role: "img", "aria-label": `${shown(file.path)}: ${label.join(", ")}` });
    if (!file.size) return image;
    // Bytes of each role in each of the cells; one damaged byte makes a cell red.
    const cells = Array.from({ length: CELLS }, () => null);
    for (const [offset, length, index] of inside) {
      const from = Math.min(CELLS - 1, Math.floor((offset / file.size) * CELLS));
      const to = Math.min(CELLS, Math.max(from + 1, Math.ceil(((offset + length) / file.size) * CELLS)));
      for (let cell = from; cell < to; cell++) {
        const kind = isDamaged(index) ? "bad" : tensors.role[index];
        if (cells[cell] !== "bad" && (kind === "bad" || cells[cell] === null || length > file.size / CELLS)) cells[cell] = kind;
      }
    }
    for (let from = 0; from < CELLS;) {
      let to = from;
      while (to < CELLS && cells[to] === cells[from]) to++;
      if (cells[from] !== null) {
        const width = cells[from] === "bad" ? Math.max(3, to - from) : to - from;
        image.append(vector("rect", { class: `role-${cells[from]}`, x: from, y: 0, width, height: 20 }));
      }
      from = to;
    }
    if (inside.length <= 300) {
      for (const [offset] of inside) image.append(vector("rect", { fill: "var(--card)", x: (offset / file.size) * CELLS, y: 0, width: 0.6, height: 20 }));
    }
    const at = (event) => {
      const bounds = image.getBoundingClientRect();
      const byte = ((event.clientX - bounds.left) / bounds.width) * file.size;
      return inside.find(([offset, length]) => byte >= offset && byte < offset + length);
    };
    image.addEventListener("click", (event) => { const found = at(event); if (found) { choose(found[2]); $("details").scrollIntoView({ block: "center" }); } });
    const title = vector("title", {});
    image.append(title);
    image.addEventListener("mousemove", (event) => { const found = at(event); title.textContent = found ? `${names[found[2]]}, ${size(found[1])}` : ""; });
    return image;
  }

  // What changed between checkpoints.
  function drawUpdates() {
    const run = facts.run;
    if (!run) return;
    $("updates").hidden = false;
    const short = (path) => shown(path.split("/").filter(Boolean).pop() || path);
    const steps = run.values.map((_, step) => `${short(facts.checkpoints[step].path)} → ${short(facts.checkpoints[step + 1].path)}`);
    const cells = [];
    run.values.forEach((column, step) => column.forEach((value, layer) => {
      if (value !== null) cells.push([step, layer, value ? Math.log10(value) : -12, value]);
    }));
    const layers = run.layers.map(shown);
    const logs = cells.map((cell) => cell[2]).filter((value) => value > -12);
    const high = logs.length ? logs.reduce((one, other) => Math.max(one, other)) : 0;
    const low = Math.min(high - 1, logs.reduce((one, other) => Math.min(one, other), high));
    const rows = Math.min(layers.length, 40);
    $("heatmap").style.height = `${rows * 20 + 130}px`;
    const longest = Math.max(...layers.map((name) => name.length), 1);
    chart("heatmap", () => ({
      animation: false,
      grid: { left: 8, right: layers.length > rows ? 40 : 12, top: 60, bottom: 8, containLabel: true },
      tooltip: { ...tooltip(), formatter: (item) => `${layers[item.value[1]]}\n${steps[item.value[0]]}\nmoved by ${percent(item.value[3])} of its norm` },
      xAxis: { type: "category", data: steps, position: "top", axisLabel: { color: color("dim"), interval: 0, width: 180, overflow: "truncate" }, axisTick: { show: false }, axisLine: { show: false } },
      yAxis: {
        type: "category", data: layers, inverse: true, axisTick: { show: false }, axisLine: { show: false },
        axisLabel: { color: color("ink"), fontFamily: "monospace", fontSize: 11, width: Math.min(360, longest * 7), overflow: "truncate", interval: 0 },
      },
      visualMap: {
        type: "continuous", dimension: 2, min: low, max: high, calculable: false, orient: "horizontal", right: 8, top: 0, itemHeight: 160,
        text: [percent(10 ** high), percent(10 ** low)], textStyle: { color: color("dim") },
        inRange: { color: matchMedia("(prefers-color-scheme: dark)").matches ? ["#16232f", "#1d4e79", "#2f86c1", "#7cc3ee", "#e3f4ff"] : ["#eff4f9", "#a8cce8", "#4d94cb", "#17599c", "#08274f"] },
      },
      dataZoom: layers.length > rows ? [
        { type: "slider", yAxisIndex: 0, right: 4, width: 18, startValue: 0, endValue: rows - 1, showDetail: false },
        { type: "inside", yAxisIndex: 0, zoomOnMouseWheel: false, moveOnMouseWheel: true },
      ] : [],
      series: [{ type: "heatmap", data: cells, encode: { x: 0, y: 1 }, itemStyle: { borderColor: color("card"), borderWidth: 1 } }],
    }));
    $("heatmap").setAttribute("aria-label", `Heatmap of the updates of ${counted(layers.length, "layer")} in ${counted(steps.length, "step")}. The table below has the same numbers.`);
    $("update-table").append(table([["Layer", "name"], ...steps.map((step) => [step, "number"])],
      layers.map((name, layer) => [name, ...run.values.map((column) => percent(column[layer]))])));
    if (run.num_left) $("heatmap").before(element("p", { class: "hint" }, `The ${integer(layers.length)} layers that moved most; ${integer(run.num_left)} more moved less.`));
    $("changes").append(...run.changes.map((change, step) => {
      const list = (title, found) => found.length ? element("details", {}, element("summary", {}, `${counted(found.length, "tensor")} ${title}`),
        element("ul", {}, ...found.slice(0, 500).map((name) => element("li", {}, element("code", {}, shown(name)))),
          found.length > 500 ? element("li", {}, `and ${integer(found.length - 500)} more`) : "")) : "";
      return element("div", {}, element("p", {}, element("strong", {}, steps[step]), `: ${counted(change.num_changed, "tensor")} changed, ${integer(change.num_equal)} equal`),
        list("added", change.added), list("removed", change.removed));
    }));
  }

  function drawSignatures() {
    if (!facts.model) return;
    $("signatures").hidden = false;
    for (const graph of facts.model.graphs) {
      const what = [counted(graph.num_nodes, "node"), counted(graph.num_functions, "function")];
      if (graph.tensorflow_version) what.push(`written by TensorFlow ${shown(graph.tensorflow_version)}`);
      $("graphs").append(element("h3", {}, `Graph ${shown(graph.tags)}`), element("p", { class: "hint" }, what.join(", ")));
      if (!graph.signatures.length) $("graphs").append(element("p", {}, "It has no signatures."));
      for (const signature of graph.signatures) {
        const line = (direction) => (tensor) => [
          direction, shown(tensor.key), tensor.dtype === null ? "any" : shown(tensor.dtype),
          tensor.shape === null ? "[...]" : `[${tensor.shape.map((each) => (each === null ? "?" : each)).join(",")}]`, shown(tensor.names.join(" ")),
        ];
        $("graphs").append(
          element("h3", {}, element("code", {}, shown(signature.key))), element("p", { class: "hint" }, shown(signature.method || "no method")),
          table([["", ""], ["Name", "name"], ["Type", ""], ["Shape", "name"], ["Tensor of the graph", "name"]],
            [...signature.inputs.map(line("input")), ...signature.outputs.map(line("output"))]));
      }
    }
  }

  // The graph of a signature: scopes that are open show what is in them.
  const GRAPH_NODES = 24;

  function drawGraph() {
    const all = facts.model ? facts.model.graphs.flatMap((graph) =>
      graph.signatures.filter((signature) => signature.graph.scopes.length).map((signature) => ({ tags: graph.tags, ...signature }))) : [];
    if (!all.length) return;
    $("graph").hidden = false;
    $("graph-of").append(...all.map((each, place) => element("option", { value: place }, shown(`${each.key} (${each.tags})`))));
    let open = new Set();
    let entry = null;
    let seen = null;

    /** The node that stands for a scope: the outermost scope around it that is not open. */
    function visible([path, kind]) {
      if (kind === "input" || kind === "output") return { id: `${kind} ${path}`, path, kind, isFolded: false };
      const parts = path.split("/");
      for (let end = 1; end <= parts.length; end++) {
        const prefix = parts.slice(0, end).join("/");
        if (end < parts.length && !open.has(prefix)) return { id: prefix, path: prefix, kind: "scope", isFolded: true };
        if (end === parts.length) return { id: kind === "variable" ? `variable ${path}` : path, path, kind, isFolded: false };
      }
      return null;
    }

    function gather(graph) {
      const nodes = new Map();
      const ids = graph.scopes.map((scope) => {
        const found = visible(scope);
        if (!nodes.has(found.id)) nodes.set(found.id, { ...found, count: 0, variables: 0, ops: new Map(), from: new Map(), kinds: new Set() });
        const node = nodes.get(found.id);
        node.isFolded = node.isFolded || found.isFolded;
        node.kinds.add(scope[1]);
        if (scope[1] === "variable") node.variables++;
        else node.count += scope[2];
        for (const [op, times] of scope[3]) node.ops.set(op, (node.ops.get(op) || 0) + times);
        return found.id;
      });
      const edges = new Map();
      for (const [from, to, times] of graph.edges) {
        if (ids[from] === ids[to]) continue;
        const key = JSON.stringify([ids[from], ids[to]]);
        edges.set(key, (edges.get(key) || 0) + times);
        nodes.get(ids[to]).from.set(ids[from], (nodes.get(ids[to]).from.get(ids[from]) || 0) + times);
      }
      // A scope that holds nothing but variables is one.
      for (const node of nodes.values()) if (node.kinds.size === 1 && node.kinds.has("variable")) node.kind = "variable";
      return { nodes, edges: [...edges].map(([key, times]) => [...JSON.parse(key), times]) };
    }

    /** Columns from left to right: the longest way to a node, ways that come back left out. */
    function place({ nodes, edges }) {
      const next = new Map([...nodes.keys()].map((id) => [id, []]));
      for (const [from, to] of edges) next.get(from).push(to);
      const state = new Map();
      const last = [];
      for (const start of nodes.keys()) {
        const stack = [[start, 0]];
        while (stack.length) {
          const top = stack[stack.length - 1];
          if (!top[1]) { if (state.has(top[0])) { stack.pop(); continue; } state.set(top[0], 1); }
          const below = next.get(top[0]);
          if (top[1] < below.length) {
            const to = below[top[1]++];
            if (!state.has(to)) stack.push([to, 0]);
          } else { state.set(top[0], 2); last.push(top[0]); stack.pop(); }
        }
      }
      const order = new Map(last.reverse().map((id, at) => [id, at]));
      const rank = new Map(last.map((id) => [id, 0]));
      for (const id of last) for (const to of next.get(id)) if (order.get(to) > order.get(id)) rank.set(to, Math.max(rank.get(to), rank.get(id) + 1));
      // What feeds a node stands just before it.
      for (const id of [...last].reverse()) {
        const node = nodes.get(id);
        const after = next.get(id).filter((to) => order.get(to) > order.get(id)).map((to) => rank.get(to));
        if ((node.kind === "variable" || node.kind === "input") && after.length) rank.set(id, Math.max(0, Math.min(...after) - 1));
      }
      const columns = [];
      for (const id of last) (columns[rank.get(id)] = columns[rank.get(id)] || []).push(id);
      const filled = columns.filter(Boolean);
      const high = Math.max(...filled.map((column) => column.length));
      filled.forEach((column, x) => column.forEach((id, y) => Object.assign(nodes.get(id), { x: x + 0.5, y: y + 0.5 + (high - column.length) / 2 })));
      return { wide: filled.length, high };
    }

    const describe = (node) => {
      const ops = [...node.ops].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([op, times]) => `${shown(op)} ${integer(times)}`).join(", ");
      if (node.kind === "input" || node.kind === "output") return node.kind;
      const parts = [];
      if (node.count) parts.push(counted(node.count, "operation"));
      if (node.variables) parts.push(counted(node.variables, "variable"));
      return parts.join(", ") + (node.count && ops ? `\n${ops}` : "");
    };
    const toggle = (node) => { if (node && node.isFolded) { open.add(node.path); draw(); } };

    function unfoldSome(graph) {
      open = new Set();
      for (let round = 0; round < 12; round++) {
        const folded = [...gather(graph).nodes.values()].filter((node) => node.isFolded).map((node) => node.path);
        if (!folded.length) return;
        const before = new Set(open);
        folded.forEach((path) => open.add(path));
        if (gather(graph).nodes.size > GRAPH_NODES) { open = before; return; }
      }
    }

    function draw() {
      const signature = all[Number($("graph-of").value || 0)];
      seen = gather(signature.graph);
      const { wide, high } = place(seen);
      const list = [...seen.nodes.values()];
      const tint = (node) => color({ input: "accent", output: "average", variable: "model" }[node.kind] || "empty");
      const width = $("scope-graph").clientWidth;
      const height = Math.min(900, Math.max(160, high * 54 + 20));
      $("scope-graph").style.height = `${height}px`;
      const step = width / wide;
      // What a series fits into its place is the box around its nodes: two that are not seen make it the place itself.
      const corners = [[0, 0], [width, height]].map(([x, y], place) => ({ id: `corner ${place}`, name: `corner ${place}`, x, y, symbolSize: 0, label: { show: false }, tooltip: { show: false } }));
      const option = () => ({
        animation: false,
        tooltip: { ...tooltip(), formatter: (item) => item.dataType === "edge" ? `${item.data.about}\n${counted(item.data.value, "tensor")}` : `${shown(item.data.node.path)}\n${describe(item.data.node)}` },
        series: [{
          type: "graph", layout: "none", roam: true, top: 0, bottom: 0, left: 0, right: 0,
          edgeSymbol: ["none", "arrow"], edgeSymbolSize: 6, symbol: "roundRect",
          lineStyle: { color: color("dim"), opacity: 0.6, curveness: 0.08 },
          emphasis: { focus: "adjacency" },
          label: {
            show: true, color: color("ink"), fontSize: 11, position: "bottom", width: Math.max(40, step - 8), overflow: "truncate",
            formatter: (item) => (!item.data.node ? "" : item.data.node.isFolded ? `${shown(item.data.node.path.split("/").pop())}/ +` : shown(item.data.node.path.split("/").slice(-2).join("/"))),
          },
          data: [...corners, ...list.map((node) => ({
            id: node.id, name: node.id, node, x: node.x * step, y: (node.y / high) * height, symbolSize: [node.kind === "scope" ? 34 : 22, 14],
            itemStyle: { color: tint(node), borderColor: color("dim"), borderWidth: node.isFolded ? 2 : 1 },
          }))],
          links: seen.edges.map(([source, target, times]) => ({ source, target, value: times, about: `${shown(source)} → ${shown(target)}`, lineStyle: { width: 1 + Math.log2(times) / 2 } })),
        }],
      });
      if (entry) forget(entry);
      entry = chart("scope-graph", option, (event) => { if (event.dataType === "node") toggle(event.data.node); });
      const what = [counted(list.length, "node"), counted(seen.edges.length, "edge")];
      if (!signature.graph.is_whole) what.push("the graph is larger than what is shown");
      $("graph-count").textContent = what.join(", ");
      $("scope-graph").setAttribute("aria-label", `Graph of ${shown(signature.key)}: ${what.join(", ")}. The table below has the same facts.`);
      const rows = list.sort((a, b) => a.x - b.x || (a.path < b.path ? -1 : 1)).map((node) => [
        node.isFolded ? element("button", { type: "button", onclick: () => toggle(node) }, `Unfold ${shown(node.path)}`) : shown(node.path),
        describe(node).replace("\n", ": "), [...node.from.keys()].map((id) => shown(id)).join(", "),
      ]);
      $("graph-table").replaceChildren(table([["Node", "name"], ["What", ""], ["Reads from", "name"]], rows));
    }

    $("graph-of").addEventListener("change", () => { unfoldSome(all[Number($("graph-of").value)].graph); draw(); });
    $("graph-fold").addEventListener("click", () => { open = new Set(); draw(); });
    unfoldSome(all[0].graph);
    draw();
  }

  function drawObjects() {
    const objects = facts.objects;
    if (!objects) return;
    $("objects").hidden = false;
    if (objects.error) { $("tree").append(element("p", { class: "problem" }, shown(objects.error))); return; }
    const lists = [element("ul", {})];
    objects.lines.forEach(([depth, line], place) => {
      const level = Math.min(depth, lists.length - 1);
      lists.length = level + 1;
      const next = objects.lines[place + 1];
      const item = element("li", {});
      if (next && next[0] > depth) {
        const below = element("ul", {});
        item.append(element("details", { open: depth < 2 && objects.lines.length < 2000 }, element("summary", {}, element("code", {}, shown(line))), below));
        lists.push(below);
      } else item.append(element("code", {}, shown(line)));
      lists[level].append(item);
    });
    $("tree").append(lists[0]);
    if (objects.num_left) $("tree").append(element("p", { class: "hint" }, `and ${integer(objects.num_left)} more`));
  }

  addEventListener("beforeprint", () => {
    isPrinting = true;
    drawRows();
    redraw();
    if (order.length > ROWS_ON_PAPER) $("count").textContent += `; the first ${ROWS_ON_PAPER} are printed`;
  });
  addEventListener("afterprint", () => { isPrinting = false; filter(); redraw(); });

  drawDamage();
  drawTable();
  drawTreemap();
  drawFiles();
  drawUpdates();
  drawSignatures();
  drawGraph();
  drawObjects();
  drawHead();
})();
