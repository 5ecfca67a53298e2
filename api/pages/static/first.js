// Runs before the first paint, so that a chosen theme does not flash.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("safs-theme");
  } catch {
    // Storage can be forbidden; the system's theme applies then.
  }
  if (theme !== "light" && theme !== "dark") return;
  document.documentElement.dataset.theme = theme;
  document.getElementById("dark").media = theme === "dark" ? "all" : "not all";
})();
