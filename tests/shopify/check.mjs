// Checks documents of GraphQL and their variables against a schema: check.mjs SCHEMA.json.gz < [{ "name", "query", "variables": [{…}] }]
// Prints what is wrong, a line each.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

// It is installed beside the schema.
const {
  GraphQLScalarType, Kind, NoDeprecatedCustomRule, buildClientSchema, coerceInputValue, parse, specifiedRules, typeFromAST, validate,
  isNonNullType,
} = createRequire(process.argv[2])("graphql");

const introspection = JSON.parse(gunzipSync(readFileSync(process.argv[2])));
const schema = buildClientSchema(introspection.data ?? introspection);
// The schema's own scalars take anything. Of these it is known what they are.
const known = {
  Money: (value) => typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value),
  Decimal: (value) => typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value),
  URL: (value) => typeof value === "string" && URL.canParse(value),
  UnsignedInt64: (value) => typeof value === "string" && /^\d+$/.test(value),
};
for (const [name, isGood] of Object.entries(known)) {
  const type = schema.getType(name);
  if (!(type instanceof GraphQLScalarType)) throw new Error(`no scalar ${name}`);
  type.parseValue = (value) => {
    if (!isGood(value)) throw new TypeError(`${JSON.stringify(value)} is no ${name}`);
    return value;
  };
}
// The schema tells of these in words only.
const onceOnly = new RegExp(
  "^(inventory(Activate|AdjustQuantities|MoveQuantities|SetOnHandQuantities|SetQuantities)|inventoryShipment(AddItems|Create|CreateInTransit|Receive)" +
    "|inventoryTransfer(Create|CreateAsReadyToShip|Duplicate|SetItems)|location(Activate|Deactivate)|refundCreate)$",
);

const problems = [];
for (const { name, query, variables } of JSON.parse(readFileSync(0, "utf8"))) {
  const say = (message) => problems.push(`${name}: ${message}`);
  let document;
  try {
    document = parse(query);
  } catch (error) {
    say(error.message);
    continue;
  }
  for (const error of validate(schema, document, [...specifiedRules, NoDeprecatedCustomRule])) say(error.message);
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  if (operation.name?.value !== name) say(`the operation is named ${operation.name?.value}`);
  for (const field of operation.selectionSet.selections) {
    const isOnce = field.directives.some((directive) => directive.name.value === "idempotent");
    if (isOnce !== onceOnly.test(field.name.value)) say(`${field.name.value} ${isOnce ? "has" : "lacks"} @idempotent`);
  }
  for (const values of variables) {
    const declared = new Set();
    for (const definition of operation.variableDefinitions ?? []) {
      const variable = definition.variable.name.value;
      declared.add(variable);
      const type = typeFromAST(schema, definition.type);
      if (!(variable in values)) {
        if (isNonNullType(type)) say(`$${variable} is missing`);
        continue;
      }
      coerceInputValue(values[variable], type, (path, _, error) => say(`$${[variable, ...path].join(".")}: ${error.message}`));
    }
    for (const variable of Object.keys(values)) if (!declared.has(variable)) say(`$${variable} is not declared`);
    for (const quantity of values.input?.quantities ?? []) {
      if (!("changeFromQuantity" in quantity)) say("changeFromQuantity must be sent, though it may be null");
    }
    for (const [key, value] of Object.entries(values.identifier ?? {})) {
      const sent = values.input?.[key];
      if (key === "id" ? sent !== undefined : sent !== value) say(`input.${key} does not fit the identifier`);
    }
  }
}
console.log(problems.join("\n"));
