// Light, dark, or the system's theme: one button cycles through them.

const CHOICES = [
  { name: "", label: "Auto", icon: "◐" },
  { name: "light", label: "Light", icon: "○" },
  { name: "dark", label: "Dark", icon: "●" },
];

/** Sets up the button; `onChange` is called after every change of colours, also by the system. */
export function setUpTheme(button, onChange) {
  const root = document.documentElement;
  const present = () => Math.max(0, CHOICES.findIndex((choice) => choice.name === (root.dataset.theme ?? "")));
  const show = () => {
    const { label, icon } = CHOICES[present()];
    button.textContent = `${icon} ${label}`;
    button.setAttribute("aria-label", `Colours: ${label.toLowerCase()}`);
    button.title = "Colours: auto, light or dark";
  };
  button.addEventListener("click", () => {
    const { name } = CHOICES[(present() + 1) % CHOICES.length];
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    remember(name);
    show();
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  show();
}

function remember(name) {
  try {
    if (name) localStorage.setItem("theme", name);
    else localStorage.removeItem("theme");
  } catch (error) {
    console.info("The theme is not remembered:", error.message); // storage may be forbidden
  }
}
