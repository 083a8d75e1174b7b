(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const fine = matchMedia("(pointer: fine)").matches;

  // "--c1" and "--c1@0.2" stand for colours of the page.
  const paint = (value) => {
    if (Array.isArray(value)) return value.map(paint);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, paint(inner)]));
    }
    if (typeof value !== "string" || !value.startsWith("--")) return value;
    const [name, alpha] = value.split("@");
    const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const channel = (at) => parseInt(hex.slice(at, at + 2), 16);
    return alpha ? `rgba(${channel(1)}, ${channel(3)}, ${channel(5)}, ${alpha})` : hex;
  };

  const chosen = (figure) =>
    [...figure.querySelectorAll(".toggle")]
      .map((group) => [...group.children].findIndex((button) => button.getAttribute("aria-pressed") === "true"))
      .join("-");

  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const { data, layout } = paint(figures[plot.id][chosen(figure)]);
    if (!fine) layout.dragmode = false;
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: true, doubleClick: "autosize" });
  };

  const all = [...document.querySelectorAll("figure")].filter((figure) => figure.querySelector(".plot"));
  all.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all.forEach(draw));

  all.forEach((figure) => {
    const plot = figure.querySelector(".plot");
    figure.querySelectorAll(".toggle button").forEach((button) =>
      button.addEventListener("click", () => {
        [...button.parentElement.children].forEach((other) => other.setAttribute("aria-pressed", other === button));
        draw(figure);
      })
    );
    figure.querySelectorAll(".legend button").forEach((button) => {
      const candidate = Number(button.dataset.candidate);
      const show = (opacity) => Plotly.restyle(plot, { opacity: plot.data.map(opacity) });
      const faded = (trace) => (trace.fill ? 0 : 0.12);
      const single = () => show((trace) => (trace.meta === candidate ? 1 : faded(trace)));
      const every = () => show((_, at) => figures[plot.id][chosen(figure)].data[at].opacity ?? 1);
      for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, single);
      button.addEventListener("mouseleave", every);
      button.addEventListener("blur", every);
    });
  });

  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };
  document.querySelectorAll(".copy").forEach((button) =>
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        // Not allowed for a page opened from a file in some browsers: select it, and copy the old way.
        select(text);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1600);
    })
  );

  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    heads.forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const numeric = head.classList.contains("n");
        const compare = (a, b) => {
          const [x, y] = [key(a, column), key(b, column)];
          if (x === "" || y === "") return (x === "") - (y === "");
          return (numeric ? x - y : x.localeCompare(y)) * (down ? -1 : 1);
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
      })
    );
  });
  document.querySelectorAll(".more").forEach((button) => {
    const table = document.getElementById(button.getAttribute("aria-controls"));
    table.classList.add("short");
    button.hidden = false;
    button.addEventListener("click", () => {
      table.classList.remove("short");
      button.hidden = true;
    });
  });
})();
