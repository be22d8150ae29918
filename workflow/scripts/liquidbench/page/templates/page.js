// Plays the moving examples on request; tables are sorted by the library before this.
"use strict";
for (const button of document.querySelectorAll(".play")) {
  const figure = button.closest("figure");
  const label = button.getAttribute("aria-label").replace(/^Play/, "");
  const name = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", word + label);
  };
  const stop = () => {
    figure.classList.remove("playing");
    name("Play");
  };
  button.addEventListener("click", () => {
    if (figure.classList.contains("playing")) {
      stop();
      return;
    }
    figure.classList.add("playing");
    name("Stop");
    const moving = figure.getAnimations({ subtree: true });
    Promise.all(moving.map((one) => one.finished)).then(stop, () => {});
  });
}
// A link to a claim opens it.
const open = () => {
  const claim = location.hash && document.getElementById(location.hash.slice(1));
  if (claim instanceof HTMLDetailsElement) claim.open = true;
};
addEventListener("hashchange", open);
open();
// The keyboard stops at what scrolls, and passes by what does not.
const boxes = document.querySelectorAll(".scroll, .drawing");
const stops = () => {
  for (const box of boxes) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("resize", stops);
stops();
