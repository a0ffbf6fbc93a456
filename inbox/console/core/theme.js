// Light or dark: as the system says, or as somebody chose on this browser.

const KEY = "huiliu.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Return "light", "dark" or "system". */
export function chosen() {
  try {
    return localStorage.getItem(KEY) || "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

/** Choose one of them. */
export function choose(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // It holds until the page is left.
  }
  apply(name);
}

function apply(name = chosen()) {
  const root = document.documentElement;
  root.dataset.theme = name === "system" ? (dark.matches ? "dark" : "light") : name;
}

dark.addEventListener("change", () => apply());
apply();
