// Builds elements. Text becomes text nodes, never markup: nothing here, or anywhere in the console, parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const SAFE = /^(?:https?:|mailto:|tel:|blob:|#|\/(?!\/))/i;

/**
 * Build an element: h("button.primary", {type: "button", onclick}, "Send", icon("send")).
 *
 * The first argument is a tag with classes. Attributes that begin with "on" are listeners, `class` adds classes
 * (falsy ones are left out), `style` is an object of properties, `dataset` one of data attributes; true sets an
 * attribute without a value, false, null and undefined leave it out. Addresses that could run something are dropped.
 * Children are nodes, texts, numbers or lists of these.
 */
export function h(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  if (attributes && (attributes instanceof Node || Array.isArray(attributes) || typeof attributes !== "object")) {
    children.unshift(attributes);
  } else if (attributes) {
    for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  }
  append(element, children);
  return element;
}

/** Set one attribute, property or listener of an element, as `h` does. */
export function set(element, name, value) {
  if (name.startsWith("on")) {
    if (value) element.addEventListener(name.slice(2), value);
  } else if (name === "class") {
    const list = Array.isArray(value) ? value : String(value || "").split(" ");
    element.classList.add(...list.filter(Boolean));
  } else if (name === "style") {
    for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (name === "value" || name === "checked" || name === "disabled" || name === "indeterminate") {
    element[name] = name === "value" ? (value ?? "") : Boolean(value);
  } else if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
  } else if ((name === "href" || name === "src") && !SAFE.test(String(value))) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Append nodes, texts and lists of them; null, undefined and false are left out. */
export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children in place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Build an element of SVG; attributes are set as they are. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  append(element, children);
  return element;
}

/** Call *work* at most once per frame, however often it is asked for. */
export function perFrame(work) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      work();
    });
  };
}

/** Return a function that calls *work* when it has not been asked for *pause* milliseconds. */
export function settled(work, pause) {
  let timer = 0;
  const ask = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), pause);
  };
  ask.stop = () => clearTimeout(timer);
  return ask;
}
