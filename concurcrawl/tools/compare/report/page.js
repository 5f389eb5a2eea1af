// Paints the charts in the colours of the page, and moves timelines by buttons.
(() => {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const print = window.matchMedia("print");

  function paint() {
    const isDark = dark.matches && !print.matches;
    const ink = isDark ? "#c6ced6" : "#3b444d";
    const line = isDark ? "#3a424c" : "#d0d7de";
    for (const doc of Bokeh.documents) {
      for (const root of doc.roots()) {
        for (const model of root.references()) {
          if (/Axis$/.test(model.type)) {
            model.setv({
              axis_label_text_color: ink, major_label_text_color: ink,
              axis_line_color: line, minor_tick_line_color: null,
              major_tick_line_color: line, axis_label_text_font_style: "normal",
            });
          } else if (model.type === "Grid") {
            model.setv({ grid_line_color: line, grid_line_alpha: 0.6 });
          } else if (model.type === "Legend") {
            model.setv({
              label_text_color: ink, background_fill_alpha: 0,
              border_line_color: null, inactive_fill_alpha: 0.5,
            });
          } else if (model.type === "GlyphRenderer" && model.name === "ink") {
            const glyph = model.glyph;
            glyph.setv(glyph.type === "Text" ? { text_color: ink } : { line_color: ink });
          } else if (model.type === "Figure") {
            model.setv({
              background_fill_color: null, border_fill_color: null,
              outline_line_color: line,
            });
          }
        }
      }
    }
  }

  function move(range, whole, factor, shift) {
    const width = Math.min((range.end - range.start) * factor, whole);
    const middle = (range.start + range.end) / 2 + shift * width;
    const start = Math.min(Math.max(0, middle - width / 2), whole - width);
    range.setv({ start, end: start + width });
  }

  const MOVES = {
    in: [0.5, 0], out: [2, 0], earlier: [1, -0.5], later: [1, 0.5], all: [1e9, 0],
  };

  function connect() {
    for (const lens of document.querySelectorAll("[data-lens]")) {
      const host = document.getElementById(lens.dataset.lens);
      const views = Object.values(Bokeh.index.roots ?? Bokeh.index);
      const view = views.find((one) => host.contains(one.el));
      if (!view) continue;
      const range = view.model.x_range;
      const whole = range.end;
      const output = lens.querySelector("output");
      const tell = () => {
        output.textContent = `${range.start.toFixed(2)} to ${range.end.toFixed(2)} s`;
      };
      range.change.connect(tell);
      range.properties.start.change.connect(tell);
      tell();
      for (const button of lens.querySelectorAll("button")) {
        button.addEventListener("click", () => {
          move(range, whole, ...MOVES[button.value]);
          tell();
        });
      }
    }
  }

  function begin() {
    const wanted = document.querySelectorAll("[data-chart]").length;
    const drawn = Bokeh.documents.reduce((sum, doc) => sum + doc.roots().length, 0);
    if (drawn < wanted) {
      setTimeout(begin, 20);
      return;
    }
    paint();
    dark.addEventListener("change", paint);
    print.addEventListener("change", paint);
    connect();
    document.documentElement.dataset.ready = "yes";
  }
  begin();
})();
