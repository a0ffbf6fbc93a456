"use strict";

// Shows openapi.json. Everything goes in as text, never as markup.

function make(name, text, ...inside) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...inside);
  return element;
}

function classed(element, name) {
  element.className = name;
  return element;
}

// Write a schema as a sample of itself; what refers to what is already open is only named.
function sample(schema, all, open = []) {
  if (!schema) return null;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return open.includes(name) ? `<${name}>` : sample(all[name], all, [...open, name]);
  }
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum.filter((one) => one !== "").join(" | ");
  const several = schema.anyOf || schema.oneOf || schema.allOf;
  if (several) {
    const real = several.filter((one) => one.type !== "null");
    const shown = sample(real[0], all, open);
    return typeof shown === "string" && real.length < several.length ? `${shown} | null` : shown;
  }
  if (schema.type === "array") return [sample(schema.items, all, open)];
  if (schema.type === "object" || schema.properties) {
    const shown = {};
    for (const [name, inner] of Object.entries(schema.properties || {})) shown[name] = sample(inner, all, open);
    if (!schema.properties && schema.additionalProperties) shown["…"] = sample(schema.additionalProperties, all, open);
    return shown;
  }
  return schema.format || schema.type || "any";
}

function block(title, value) {
  return [make("h3", title), make("pre", "", make("code", JSON.stringify(value, null, 2)))];
}

function rows(heads, lines) {
  const table = make("table", "", make("tr", "", ...heads.map((head) => make("th", head))));
  for (const line of lines) table.append(make("tr", "", ...line.map((cell) => make("td", cell))));
  return classed(make("div", "", table), "scroll");
}

function shown(path, method, operation, all) {
  const inside = make("div");
  const parameters = operation.parameters || [];
  if (parameters.length) {
    const lines = parameters.map((one) => [one.name, one.in, (one.schema.enum || [one.schema.type]).join(" | "), one.description || ""]);
    inside.append(make("h3", "Parameters"), rows(["name", "in", "type", ""], lines));
  }
  for (const [kind, content] of Object.entries((operation.requestBody || {}).content || {})) {
    inside.append(...block(`Takes ${kind}`, sample(content.schema, all)));
    if (content.example) inside.append(...block("For example", content.example));
  }
  for (const [status, response] of Object.entries(operation.responses)) {
    const [kind, content] = Object.entries(response.content || {})[0] || [];
    if (status < 400 && kind) inside.append(...block(`${status} ${kind}`, sample(content.schema, all)));
  }
  const problems = Object.entries(operation.responses).filter(([status]) => status >= 400);
  inside.append(make("h3", "Problems"), rows(["status", ""], problems.map(([status, one]) => [status, one.description])));
  const summary = make("summary", "", classed(make("span", method.toUpperCase()), "method"), make("code", path));
  summary.append(" ", operation.summary, " ", classed(make("span", `(${operation["x-role"]})`), "role"));
  const details = make("details", "", summary, inside);
  details.id = operation.operationId;
  details.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
  return details;
}

async function main() {
  const answer = await fetch("openapi.json");
  const said = await answer.json();
  const all = said.components.schemas;
  const groups = new Map();
  for (const [path, methods] of Object.entries(said.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(shown(path, method, operation, all));
    }
  }
  const main = document.getElementById("operations");
  const list = make("ul");
  main.replaceChildren();
  for (const [tag, operations] of groups) {
    const section = make("section", "", make("h2", tag), ...operations);
    section.id = `of-${tag}`;
    main.append(section);
    const link = make("a", `${tag} (${operations.length})`);
    link.href = `#of-${tag}`;
    list.append(make("li", "", link));
  }
  document.getElementById("paths").replaceChildren(list);
  document.getElementById("about").textContent = `${said.info.version} · OpenAPI ${said.openapi}`;
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const one of main.querySelectorAll("details")) one.hidden = !one.dataset.words.includes(wanted);
    for (const one of main.querySelectorAll("section")) one.hidden = !one.querySelector("details:not([hidden])");
  });
  if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
}

main().catch((error) => document.getElementById("operations").replaceChildren(make("p", String(error))));
