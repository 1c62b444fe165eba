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
    const opacity = viewer.querySelector("[data-opacity]");
    const blink = viewer.querySelector("[data-blink]");
    const splits = all(".split", viewer);
    let timer = 0;

    const mask = () => {
      const wanted = new Set(boxes.filter((b) => b.checked).map((b) => b.dataset.plane));
      for (const image of overlays) image.hidden = !wanted.has(image.dataset.plane);
      if (opacity) viewer.style.setProperty("--veil", opacity.value / 100);
    };
    for (const box of boxes) box.addEventListener("change", mask);
    if (opacity) opacity.addEventListener("input", mask);
    mask();

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
