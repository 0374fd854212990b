// A slider for each slice viewer: every plane shows the slice of that number.
for (const viewer of document.querySelectorAll("figure.viewer")) {
  const slider = viewer.querySelector("input");
  const show = () => {
    for (const plane of viewer.querySelectorAll("svg svg")) {
      const { rows, edge } = plane.dataset;
      plane.viewBox.baseVal.y = slider.value * rows + Number(edge);
    }
    viewer.querySelector("output").value = `${Number(slider.value) + 1} of ${Number(slider.max) + 1}`;
  };
  slider.addEventListener("input", show);
  slider.parentElement.hidden = slider.max === "0";
  show(); // a browser that loads the page again keeps the slider where it was
}
