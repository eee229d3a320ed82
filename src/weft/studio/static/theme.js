// Before anything is drawn: dark or light, as chosen here, else as the system has it.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("weft-studio-theme"); } catch (error) { /* storage is switched off */ }
  var dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.setAttribute("data-bs-theme", chosen || (dark ? "dark" : "light"));
})();
