"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const show = (input, percent) => {
    const part = Math.min(100, Math.max(0, percent));
    input.value = Math.round(part);
    input.parentElement.style.setProperty("--split", part + "%");
  };

  for (const input of all(".split")) {
    const box = input.parentElement;
    const follow = (event) => {
      const edge = box.getBoundingClientRect();
      show(input, (100 * (event.clientX - edge.left)) / edge.width);
    };
    input.addEventListener("input", () => show(input, Number(input.value)));
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault(); // no dragging of the image itself
      box.setPointerCapture(event.pointerId);
      input.focus({ preventScroll: true });
      follow(event);
    });
    box.addEventListener("pointermove", (event) => {
      if (box.hasPointerCapture(event.pointerId)) follow(event);
    });
    show(input, Number(input.value)); // browsers restore values on reload
  }

  for (const viewer of all("[data-viewer]")) {
    const overlays = all(".overlay", viewer);
    const boxes = all("input[data-plane]", viewer);
    const whole = viewer.querySelector("[data-whole]");
    const zoom = viewer.querySelector("[data-zoom]");
    const opacity = viewer.querySelector("[data-opacity]");
    const blink = viewer.querySelector("[data-blink]");
    const splits = all(".split", viewer);
    const outlines = overlays.some((image) => "outlined" in image.dataset);
    let timer = 0;
    if (whole) whole.parentElement.hidden = !outlines;
    blink.hidden = !splits.length;

    const mask = () => {
      const wanted = new Set(boxes.filter((b) => b.checked).map((b) => b.dataset.plane));
      for (const image of overlays) {
        // Filled flags hide what lies beneath: those of an overview are asked for.
        const seen = "outlined" in image.dataset || !outlines || whole.checked;
        image.hidden = !seen || !wanted.has(image.dataset.plane);
      }
      if (opacity) viewer.style.setProperty("--veil", opacity.value / 100);
    };
    for (const box of boxes) box.addEventListener("change", mask);
    if (opacity) opacity.addEventListener("input", mask);
    if (whole) whole.addEventListener("change", mask);
    mask();

    const enlarge = () => {
      for (const box of all(".pictures", viewer)) {
        const times = Number(zoom.value);
        const pan = box.parentElement;
        // What is seen in the middle stays there.
        const middle = (pan.scrollLeft + pan.clientWidth / 2) / pan.scrollWidth;
        const height = (pan.scrollTop + pan.clientHeight / 2) / pan.scrollHeight;
        pan.classList.toggle("zoomed", times > 0);
        box.classList.toggle("crisp", times > 1 || "crisp" in box.dataset);
        box.style.width = times ? times * box.dataset.width + "px" : "";
        box.style.maxWidth = times ? "none" : box.dataset.widest;
        pan.scrollLeft = middle * pan.scrollWidth - pan.clientWidth / 2;
        pan.scrollTop = height * pan.scrollHeight - pan.clientHeight / 2;
      }
    };
    for (const box of all(".pictures", viewer)) {
      box.dataset.widest = box.style.maxWidth;
      if (box.classList.contains("crisp")) box.dataset.crisp = "";
      const at = box.closest("figure").querySelector(".at");
      box.addEventListener("pointermove", (event) => {
        const edge = box.getBoundingClientRect();
        const place = (part, count, first) =>
          Number(first) + Math.floor(Math.min(0.9999, Math.max(0, part)) * count * box.dataset.step);
        const x = place((event.clientX - edge.left) / edge.width, box.dataset.width, box.dataset.x);
        const y = place((edge.bottom - event.clientY) / edge.height, box.dataset.height, box.dataset.y);
        at.value = "x " + x + ", y " + y;
      });
      box.addEventListener("pointerleave", () => { at.value = ""; });
    }
    zoom.addEventListener("change", enlarge);
    if (zoom.value) enlarge();

    const swap = () => {
      const side = Number(splits[0].value) < 50 ? 100 : 0;
      for (const input of splits) show(input, side);
    };
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      blink.setAttribute("aria-pressed", "false");
    };
    blink.addEventListener("click", () => {
      if (calm.matches) return swap(); // one change for each press
      if (timer) {
        stop();
        for (const input of splits) show(input, 50);
        return;
      }
      swap();
      timer = setInterval(swap, 700);
      blink.setAttribute("aria-pressed", "true");
    });
    for (const input of splits) {
      input.addEventListener("input", stop);
      input.parentElement.addEventListener("pointerdown", stop);
    }
  }

  const levelsOf = (image) => {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    return { canvas, pen, levels: pixels.filter((_, place) => place % 4 === 0) };
  };

  for (const panel of all(".thresholds")) {
    const ladder = JSON.parse(panel.dataset.ladder);
    const viewer = panel.closest("[data-viewer]");
    const line = panel.querySelector(".set-line");
    const rows = all("tr[data-plane]", panel);
    const drawn = new Map();
    for (const part of all(".scripted", panel)) part.hidden = false;

    const paint = async (row, step) => {
      const color = row.dataset.color.match(/[0-9a-f]{2}/g).map((digits) => parseInt(digits, 16));
      for (const image of all(".chances", viewer)) {
        if (image.dataset.plane !== row.dataset.plane) continue;
        await image.decode();
        if (!drawn.has(image)) {
          drawn.set(image, levelsOf(image));
          image.after(drawn.get(image).canvas);
        }
        const { canvas, pen, levels } = drawn.get(image);
        const picture = pen.createImageData(canvas.width, canvas.height);
        levels.forEach((level, place) => {
          if (level > step) picture.data.set([...color, 255], 4 * place);
        });
        pen.putImageData(picture, 0, 0);
      }
    };
    const tell = () => {
      const stages = new Map();
      for (const row of rows) {
        const { stage, option, key, others } = row.dataset;
        const slider = row.querySelector(".ladder");
        if (!option || slider.dataset.moved !== "yes") continue;
        const value = ladder[slider.value];
        if (!key) {
          stages.set(stage, option + "=" + value);
          continue;
        }
        const table = stages.get(stage) || JSON.parse(others);
        table[key] = value;
        stages.set(stage, table);
      }
      const told = [...stages].map(([stage, set]) => {
        if (typeof set === "string") return "--set " + stage + "." + set;
        const entries = Object.entries(set).map(([name, value]) => name + " = " + value);
        return "--set '" + stage + ".thresholds={" + entries.join(", ") + "}'";
      });
      line.textContent = told.join(" ") || "--set ...";
    };
    for (const row of rows) {
      const slider = row.querySelector(".ladder");
      const counts = JSON.parse(row.dataset.counts);
      slider.addEventListener("input", () => {
        slider.dataset.moved = "yes";
        row.querySelector(".threshold").value = ladder[slider.value];
        row.querySelector(".above").value = counts[slider.value].toLocaleString("en");
        paint(row, Number(slider.value));
        tell();
      });
    }
    const copy = panel.querySelector(".copy");
    copy.hidden = !navigator.clipboard;
    copy.addEventListener("click", () => navigator.clipboard.writeText(line.textContent));
  }

  const text = document.getElementById("filter-text");
  const status = document.getElementById("filter-status");
  if (text) {
    const rows = all("#file-rows tr");
    const filter = () => {
      const wanted = text.value.trim().toLowerCase();
      let left = 0;
      for (const row of rows) {
        const named = row.textContent.toLowerCase().includes(wanted);
        row.hidden = !named || (status.value !== "" && row.dataset.status !== status.value);
        left += !row.hidden;
      }
      const shown = left === rows.length ? "" : left.toLocaleString("en") + " of ";
      document.getElementById("filter-count").value =
        shown + rows.length.toLocaleString("en") + " files";
    };
    text.addEventListener("input", filter);
    status.addEventListener("change", filter);
    filter();
  }

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => {
    for (const details of all("details.file")) details.open = true;
  });
}
