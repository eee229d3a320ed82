(function () {
  var root = document.documentElement;
  var theme = document.getElementById("studio-theme");
  if (theme) {
    theme.addEventListener("click", function () {
      var next = root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
      root.setAttribute("data-bs-theme", next);
      try { localStorage.setItem("weft-studio-theme", next); } catch (error) { /* storage is switched off */ }
    });
  }

  var apply = document.getElementById("studio-apply-columns");
  if (apply) {
    apply.addEventListener("click", function () {
      var chosen = Array.from(document.querySelectorAll("[data-studio-column]:checked")).map(function (box) {
        return box.value;
      });
      var url = new URL(window.location.href);
      if (chosen.length) { url.searchParams.set("cols", chosen.join(",")); } else { url.searchParams.delete("cols"); }
      window.location.href = url.toString();
    });
  }

  // A field without a value cannot be typed in, and typing is no way to say "no value".
  document.querySelectorAll("[data-studio-null]").forEach(function (box) {
    var field = document.getElementById(box.dataset.studioNull);
    function follow() { field.disabled = box.checked; }
    box.addEventListener("change", follow);
    follow();
  });
})();
