"use strict";
(function () {
  const canvas = document.getElementById("lanes"), holder = document.getElementById("columns");
  if (!canvas || !holder) return;
  const about = JSON.parse(document.getElementById("about").textContent);
  const one = document.getElementById("one"), pen = canvas.getContext("2d");
  const STATES = ["ok", "failed", "cancelled", "running"];
  const n = about.count, end = Math.max(1, about.end), lanes = Math.max(1, about.lanes.length);
  let starts, spans, lane, state, tries, cause, texts, of = [], view = [0, end], chosen = -1, due = false;

  function varints(bytes, from, to, count) {
    const found = new Float64Array(count);
    for (let k = 0, at = from; k < count && at < to; k++) {
      let value = 0, weight = 1, byte;
      do { byte = bytes[at++]; value += (byte & 127) * weight; weight *= 128; } while (byte & 128);
      found[k] = value;
    }
    return found;
  }

  async function read() {
    const raw = Uint8Array.from(atob(holder.textContent.trim()), (c) => c.charCodeAt(0));
    const flow = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(flow).arrayBuffer());
    let at = 0;
    const columns = about.sizes.map((size, k) => {
      at += size;
      return k < 6 ? varints(bytes, at - size, at, n) : new TextDecoder().decode(bytes.subarray(at - size, at)).split("\n");
    });
    [starts, spans, lane, state, tries, cause, texts] = columns;
    for (let k = 1; k < n; k++) starts[k] += starts[k - 1];
    of = Array.from({ length: lanes }, () => []);
    for (let k = 0; k < n; k++) of[lane[k]].push(k);
  }

  const seconds = (units) => units * about.unit / 1e6;
  function said(s) {
    if (s === 0) return "0";
    if (s < 0.9995) return (s * 1000).toFixed(s < 0.01 ? 2 : 0) + " ms";
    return s < 120 ? s.toFixed(s < 10 ? 2 : 1) + " s" : Math.floor(s / 60) + "m" + String(Math.round(s % 60)).padStart(2, "0") + "s";
  }

  // Of one lane's items the first that ends after `at`: ends rise along a lane, for no two overlap.
  function firstAfter(list, at) {
    let low = 0, high = list.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (starts[list[mid]] + spans[list[mid]] < at) low = mid + 1; else high = mid;
    }
    return low;
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    return STATES.map((name) => style.getPropertyValue("--" + name).trim());
  }

  function draw() {
    due = false;
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
    const row = Math.max(2, Math.min(14, Math.floor(600 / lanes))), top = 18, rows = Math.min(lanes, 300);
    const height = top + rows * row + 2;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const tint = colours(), dim = getComputedStyle(document.documentElement).getPropertyValue("--dim");
    const per = width / (view[1] - view[0]), gap = row > 4 ? 1 : 0;
    ticks(width, height, dim, per);
    let drawn = 0;
    for (let l = 0; l < lanes; l++) {
      const y = top + Math.floor(l * rows / lanes) * row;
      drawn += drawLane(of[l], y, row - gap, width, per, tint);
    }
    if (chosen >= 0) {
      const x = (starts[chosen] - view[0]) * per, y = top + Math.floor(lane[chosen] * rows / lanes) * row;
      pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink"); pen.lineWidth = 2;
      pen.strokeRect(x - 1, y - 1, Math.max(3, spans[chosen] * per) + 2, row + 1);
    }
    canvas.dataset.drawn = drawn; canvas.dataset.view = view.map(Math.round).join(" ");
    canvas.geometry = { top, row, rows };
  }

  // Level of detail: what is narrower than a pixel is summed up by pixel column, and a failure is always seen.
  function drawLane(list, y, tall, width, per, tint) {
    let fill = 0, bad = 0, column = -1, drawn = 0;
    const flush = () => {
      if (column >= 0) {
        pen.globalAlpha = bad ? 1 : Math.max(0.15, Math.min(1, fill));
        pen.fillStyle = tint[bad];
        pen.fillRect(column, y, 1, tall);
        drawn++;
      }
      fill = 0; bad = 0;
    };
    for (let k = firstAfter(list, view[0]); k < list.length; k++) {
      const at = list[k], x = (starts[at] - view[0]) * per, wide = spans[at] * per;
      if (x > width) break;
      if (wide >= 1.5) {
        flush(); column = -1;
        pen.globalAlpha = 1; pen.fillStyle = tint[state[at]];
        pen.fillRect(x, y, wide > 3 ? wide - 0.5 : wide, tall);
        drawn++;
        continue;
      }
      if (Math.floor(x) !== column) { flush(); column = Math.floor(x); }
      fill += wide; bad = bad || state[at];
    }
    flush();
    pen.globalAlpha = 1;
    return drawn;
  }

  function ticks(width, height, colour, per) {
    const whole = seconds(view[1] - view[0]);
    let step = Math.pow(10, Math.floor(Math.log10(whole / 6)));
    for (const factor of [1, 2, 5, 10]) if (whole / (step * factor) <= 8) { step *= factor; break; }
    pen.fillStyle = pen.strokeStyle = colour; pen.font = "11px system-ui, sans-serif"; pen.lineWidth = 1;
    for (let k = Math.ceil(seconds(view[0]) / step); k * step <= seconds(view[1]); k++) {
      const x = Math.round((k * step * 1e6 / about.unit - view[0]) * per) + 0.5;
      pen.globalAlpha = 0.3; pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, height); pen.stroke();
      pen.globalAlpha = 1; pen.fillText(said(k * step), x + 3, 12);
    }
  }

  function later() { if (!due) { due = true; requestAnimationFrame(draw); } }
  function look(from, to) {
    const size = Math.max(Math.min(to - from, end), Math.min(end, 20));
    from = Math.max(0, Math.min(from, end - size));
    view = [from, from + size];
    later();
  }
  function zoom(factor, at) {
    const size = (view[1] - view[0]) * factor;
    look(at - (at - view[0]) * factor, at - (at - view[0]) * factor + size);
  }
  const middle = () => (chosen >= 0 && starts[chosen] >= view[0] && starts[chosen] <= view[1]) ? starts[chosen] : (view[0] + view[1]) / 2;

  function choose(k, move) {
    chosen = k;
    if (k < 0) return;
    if (move && (starts[k] < view[0] || starts[k] + spans[k] > view[1])) {
      const size = Math.min(view[1] - view[0], Math.max(spans[k] * 8, end / 50));
      look(starts[k] + spans[k] / 2 - size / 2, starts[k] + spans[k] / 2 + size / 2);
    }
    one.textContent = "";
    const add = (tag, text) => { const e = document.createElement(tag); e.textContent = text; one.append(e, " "); };
    add("code", texts[k] || "(its text is not in this page)");
    add("span", "· " + STATES[state[k]] + (cause[k] ? ": " + about.labels[cause[k]] : "") + " · took " + said(seconds(spans[k])) +
      " · began at " + said(seconds(starts[k])) + (tries[k] > 1 ? " · attempt " + tries[k] : "") +
      " · lane " + (lane[k] + 1) + (about.lanes[lane[k]] ? " of " + about.lanes[lane[k]] : ""));
    later();
  }

  function next(step, fits) {
    let k = chosen < 0 ? (step > 0 ? -1 : n) : chosen;
    for (k += step; k >= 0 && k < n; k += step) if (fits(k)) return choose(k, true);
  }

  const KEYS = {
    w: () => zoom(0.6, middle()), s: () => zoom(1 / 0.6, middle()), "+": () => zoom(0.6, middle()), "-": () => zoom(1 / 0.6, middle()),
    a: () => pan(-0.15), d: () => pan(0.15), 0: () => look(0, end), Home: () => look(0, end),
    n: () => next(1, (k) => state[k] === 1), p: () => next(-1, (k) => state[k] === 1),
    ArrowRight: () => next(1, (k) => chosen < 0 || lane[k] === lane[chosen]),
    ArrowLeft: () => next(-1, (k) => chosen < 0 || lane[k] === lane[chosen]),
    ArrowDown: () => beside(1), ArrowUp: () => beside(-1),
  };
  function pan(part) { const by = (view[1] - view[0]) * part; look(view[0] + by, view[1] + by); }
  function beside(step) {
    if (chosen < 0) return next(1, () => true);
    for (let l = lane[chosen] + step; l >= 0 && l < lanes; l += step) {
      const k = of[l][Math.min(firstAfter(of[l], starts[chosen]), of[l].length - 1)];
      if (k !== undefined) return choose(k, true);
    }
  }

  function under(event) {
    const box = canvas.getBoundingClientRect(), shape = canvas.geometry;
    const at = view[0] + (event.clientX - box.left) / box.width * (view[1] - view[0]);
    const line = Math.floor((event.clientY - box.top - shape.top) / shape.row);
    const near = 3 * (view[1] - view[0]) / box.width;
    for (let l = 0; l < lanes; l++) {
      if (Math.floor(l * shape.rows / lanes) !== line) continue;
      const k = of[l][firstAfter(of[l], at - near)];
      if (k !== undefined && starts[k] <= at + near) return k;
    }
    return -1;
  }

  function listen() {
    canvas.addEventListener("keydown", (event) => {
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, key)) return;
      event.preventDefault();
      KEYS[key]();
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      zoom(Math.exp(event.deltaY / 400), view[0] + (event.clientX - box.left) / box.width * (view[1] - view[0]));
    }, { passive: false });
    let grip = null;
    canvas.addEventListener("pointerdown", (event) => { grip = { x: event.clientX, view: view.slice(), moved: false }; canvas.focus(); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const by = (grip.x - event.clientX) / canvas.clientWidth * (grip.view[1] - grip.view[0]);
      grip.moved = grip.moved || Math.abs(event.clientX - grip.x) > 3;
      if (grip.moved) look(grip.view[0] + by, grip.view[1] + by);
    });
    canvas.addEventListener("pointerup", (event) => { if (grip && !grip.moved) choose(under(event), false); grip = null; });
    document.querySelectorAll("[data-key]").forEach((button) => button.addEventListener("click", () => KEYS[button.dataset.key]()));
    document.querySelectorAll("[data-at]").forEach((button) => button.addEventListener("click", () => { choose(+button.dataset.at, true); canvas.scrollIntoView({ block: "nearest" }); }));
    document.querySelectorAll("[data-cause]").forEach((button) => button.addEventListener("click", () => {
      const wanted = about.labels.indexOf(button.dataset.cause);
      next(1, (k) => cause[k] === wanted);
      canvas.scrollIntoView({ block: "nearest" });
    }));
    addEventListener("resize", later);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  }

  if (typeof DecompressionStream === "undefined") {
    one.textContent = "This browser is too old to read the picture; the tables below have the numbers.";
    return;
  }
  read().then(() => { listen(); draw(); canvas.dataset.ready = n; }, (error) => { one.textContent = "The picture could not be read: " + error; });
})();
