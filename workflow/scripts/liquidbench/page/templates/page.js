// Plays the moving examples on request; tables are sorted by the library before this.
"use strict";
for (const button of document.querySelectorAll(".play")) {
  const figure = button.closest("figure");
  const stop = () => {
    figure.classList.remove("playing");
    button.textContent = "Play";
  };
  button.addEventListener("click", () => {
    if (figure.classList.contains("playing")) {
      stop();
      return;
    }
    figure.classList.add("playing");
    button.textContent = "Stop";
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
