// Usage: node check.mjs FOLDER-OF-THE-PACKAGES. Prints what is wrong; exit code 1 when anything is.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = path.resolve(process.argv[2]);
const fixtures = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../fixtures/cli");
const source = (name) => path.join(folder, "node_modules/@azure", name, "dist-esm/src");

/** The models of a client: they stand in a module of their own, which node takes for CommonJS by its name. */
async function modelsOf(name) {
  const copy = path.join(folder, `${name}-mappers.mjs`);
  fs.copyFileSync(path.join(source(name), "models/mappers.js"), copy);
  return import(pathToFileURL(copy));
}

const problems = [];
const problem = (text) => problems.push(text);

/** The properties of a model and of those that it extends, by their names on the wire ("properties.ipConfigurations"). */
function propertiesOf(model, models) {
  const parent = model.type.uberParent;
  const inherited = parent && parent !== model.type.className ? propertiesOf(models[parent], models) : {};
  const own = Object.values(model.type.modelProperties ?? {}).map((one) => [one.serializedName, one]);
  return { ...inherited, ...Object.fromEntries(own) };
}

function checkObject(value, model, models, at) {
  const known = propertiesOf(model, models);
  const walk = (object, prefix) => {
    for (const [key, inner] of Object.entries(object)) {
      const name = prefix + key;
      if (known[name]?.readOnly) problem(`${at}.${name} is Azure's alone to say`);
      else if (known[name]) checkValue(inner, known[name].type, models, `${at}.${name}`);
      else if (Object.keys(known).some((other) => other.startsWith(name + "."))) walk(inner, name + ".");
      else problem(`${at}.${name} is unknown`);
    }
  };
  walk(value, "");
  for (const [name, one] of Object.entries(known)) {
    const there = name.split(".").reduce((object, key) => object?.[key], value);
    if (one.required && !one.readOnly && there === undefined) problem(`${at}.${name} is missing`);
  }
}

function checkValue(value, type, models, at) {
  if (typeof value === "string" && value.startsWith("[")) return; // an expression of the template
  const simple = { String: "string", Number: "number", Boolean: "boolean", Enum: "string" };
  if (type.name === "Composite") {
    if (typeof value !== "object") problem(`${at} is no object`);
    else checkObject(value, type.className ? models[type.className] : { type }, models, at);
  } else if (type.name === "Sequence") {
    if (!Array.isArray(value)) problem(`${at} is no list`);
    else value.forEach((one, i) => checkValue(one, type.element.type, models, `${at}[${i}]`));
  } else if (simple[type.name] && typeof value !== simple[type.name]) {
    problem(`${at} is a ${typeof value}`);
  } else if (type.name === "Enum" && type.allowedValues && !type.allowedValues.includes(value)) {
    problem(`${at} cannot be ${value}`);
  }
}

/** "GET /subscriptions/{}/providers/…" of every operation, lower case. */
function operationsOf(name) {
  const found = [];
  const files = ["", "operations"].flatMap((inner) =>
    fs.readdirSync(path.join(source(name), inner)).map((file) => path.join(source(name), inner, file)),
  );
  for (const file of files.filter((one) => one.endsWith(".js"))) {
    const text = fs.readFileSync(file, "utf8");
    for (const [, where, method] of text.matchAll(/path: "([^"]+)",\s*httpMethod: "(\w+)"/g))
      found.push(new RegExp(`^${method} ${where.replace(/\{[^}]+\}/g, "[^/]+")}$`, "i"));
  }
  return found;
}

// --- the deployment
const [network, compute, resources] = await Promise.all(["arm-network", "arm-compute", "arm-resources"].map(modelsOf));
const kinds = {
  "Microsoft.Network/virtualNetworks": [network, "VirtualNetwork"],
  "Microsoft.Network/publicIPAddresses": [network, "PublicIPAddress"],
  "Microsoft.Network/networkSecurityGroups": [network, "NetworkSecurityGroup"],
  "Microsoft.Network/networkInterfaces": [network, "NetworkInterface"],
  "Microsoft.Compute/virtualMachines": [compute, "VirtualMachine"],
};
const template = JSON.parse(fs.readFileSync(path.join(fixtures, "docker_host_template_azure.json")));
for (const { type, apiVersion, name, dependsOn, ...body } of template.resources) {
  if (!kinds[type]) problem(`nobody checks ${type}`);
  else checkObject(body, kinds[type][0][kinds[type][1]], kinds[type][0], type);
}
checkObject({ properties: { mode: "Incremental", parameters: {}, template } }, resources.Deployment, resources, "deployment");

// --- the requests
const operations = ["arm-network", "arm-compute", "arm-resources", "arm-resources-subscriptions"].flatMap(operationsOf);
const requests = fs.readFileSync(path.join(fixtures, "azure_requests.txt"), "utf8").trim().split("\n");
for (const request of requests) {
  const [method, where] = request.split(" ");
  const whole = where === "/subscriptions" || where === "/tenants" ? where : `/subscriptions/S${where}`;
  if (!operations.some((one) => one.test(`${method} ${whole}`))) problem(`Azure has no operation for ${request}`);
}

console.log(`${template.resources.length} resources and ${requests.length} requests, ${operations.length} operations`);
for (const text of problems) console.log(text);
process.exit(problems.length === 0 && requests.length > 10 ? 0 : 1);
