//! Everything that is asked of the Admin API, as fixed texts. A test holds each against the vendor's schema.

/// A text and whether it changes something.
#[derive(Debug)]
pub struct Query {
    /// As it is named in the text.
    pub name: &'static str,
    /// The document, which has one operation.
    pub text: &'static str,
    /// Whether it changes something.
    pub is_write: bool,
}

const fn query(name: &'static str, text: &'static str) -> Query {
    Query { name, text, is_write: false }
}

const fn mutation(name: &'static str, text: &'static str) -> Query {
    Query { name, text, is_write: true }
}

/// All of them.
pub static ALL: &[&Query] = &[
    &TEST,
    &SETTINGS,
    &LOCALES,
    &FIND,
    &SKUS,
    &PRODUCT,
    &MEDIA,
    &TRANSLATABLE,
    &COLLECTION,
    &CREATE,
    &SET,
    &UPDATE,
    &VARIANTS,
    &DETACH,
    &QUANTITIES,
    &ACTIVATE,
    &PUBLISH,
    &DELETE,
    &CLEAR,
    &REGISTER,
    &FORGET,
    &COLLECT,
    &STAGE,
];

pub(super) static TEST: Query =
    query("Test", "query Test { shop { id name } currentAppInstallation { accessScopes { handle } } }");

/// What the store is like: where stock is counted, and what customers see.
pub(super) static SETTINGS: Query = query(
    "Settings",
    "query Settings {
  shop { name currencyCode }
  locations(first: 50) { nodes { id fulfillsOnlineOrders } }
  publications(first: 50, catalogType: APP) { nodes { id catalog { title ... on AppCatalog { apps(first: 1) { nodes { handle } } } } } }
}",
);

/// Needs `read_locales`, so it is asked only when a job has translations.
pub(super) static LOCALES: Query = query("Locales", "query Locales { shopLocales { locale primary } }");

/// By handle at once, by SKU from an index that is behind.
pub(super) static FIND: Query = query(
    "Find",
    r#"query Find($first: ProductIdentifierInput!, $second: ProductIdentifierInput!, $sku: String!, $after: String) {
  first: productByIdentifier(identifier: $first) { id mark: metafield(namespace: "ecomsimply", key: "id") { value } }
  second: productByIdentifier(identifier: $second) { id mark: metafield(namespace: "ecomsimply", key: "id") { value } }
  productVariants(first: 50, after: $after, query: $sku) {
    nodes { sku product { id title variantsCount { count } mark: metafield(namespace: "ecomsimply", key: "id") { value } } }
    pageInfo { hasNextPage endCursor }
  }
}"#,
);

/// Which products have variants with these SKUs.
pub(super) static SKUS: Query = query(
    "Skus",
    "query Skus($skus: String!, $after: String) {
  productVariants(first: 100, after: $after, query: $skus) { nodes { sku product { id title } } pageInfo { hasNextPage endCursor } }
}",
);

/// The pages are small enough that all of it stays below the 1,000 points that one query may cost.
pub(super) static PRODUCT: Query = query(
    "Product",
    r#"query Product($id: ID!, $publication: ID!, $location: ID!, $variants: String, $media: String, $collections: String) {
  product(id: $id) {
    id handle title descriptionHtml vendor status tags onlineStoreUrl hasOnlyDefaultVariant
    seo { title description }
    isPublished: publishedOnPublication(publicationId: $publication)
    mark: metafield(namespace: "ecomsimply", key: "id") { value }
    short: metafield(namespace: "ecomsimply", key: "short_description") { value }
    options { id name optionValues { name } }
    collections(first: 25, after: $collections) {
      nodes { id title sources { __typename ... on CollectionConditionsSource { inclusion { conditions { __typename } } } } }
      pageInfo { hasNextPage endCursor }
    }
    media(first: 40, after: $media) {
      nodes { id alt status mediaContentType mediaErrors { code message } ... on MediaImage { image { url } } }
      pageInfo { hasNextPage endCursor }
    }
    variants(first: 40, after: $variants) {
      nodes {
        id sku barcode price compareAtPrice
        selectedOptions { name value }
        media(first: 1) { nodes { id } }
        inventoryItem {
          id tracked
          measurement { weight { unit value } }
          inventoryLevel(locationId: $location) { updatedAt quantities(names: ["available"]) { name quantity } }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"#,
);

/// How far pictures are, for whoever waits for them.
pub(super) static MEDIA: Query = query(
    "Media",
    "query Media($id: ID!, $media: String) {
  product(id: $id) {
    media(first: 100, after: $media) {
      nodes { id alt status mediaContentType mediaErrors { code message } ... on MediaImage { image { url } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}",
);

pub(super) static TRANSLATABLE: Query = query(
    "Translatable",
    "query Translatable($id: ID!, $locale: String!) {
  translatableResource(resourceId: $id) { translatableContent { key digest value } translations(locale: $locale) { key value } }
}",
);

pub(super) static COLLECTION: Query = query(
    "Collection",
    r#"query Collection($first: CollectionIdentifierInput!, $second: CollectionIdentifierInput!, $title: String!, $publication: ID!) {
  first: collectionByIdentifier(identifier: $first) { ...Which }
  second: collectionByIdentifier(identifier: $second) { ...Which }
  collections(first: 20, query: $title) { nodes { ...Which } }
}
fragment Which on Collection {
  id title isPublished: publishedOnPublication(publicationId: $publication)
  mark: metafield(namespace: "ecomsimply", key: "made") { value }
  sources { __typename ... on CollectionConditionsSource { inclusion { conditions { __typename } } } }
}"#,
);

/// Without an identifier: then a product that has the handle already is never written to.
pub(super) static CREATE: Query = mutation(
    "Create",
    "mutation Create($input: ProductSetInput!) {
  productSet(input: $input, synchronous: true) { product { id } userErrors { code field message } }
}",
);

/// Replaces the lists that are sent whole: variants with options, or files.
pub(super) static SET: Query = mutation(
    "Set",
    "mutation Set($identifier: ProductSetIdentifiers!, $input: ProductSetInput!) {
  productSet(identifier: $identifier, input: $input, synchronous: true) { product { id } userErrors { code field message } }
}",
);

/// Changes single fields.
pub(super) static UPDATE: Query = mutation(
    "Update",
    "mutation Update($product: ProductUpdateInput!) {
  productUpdate(product: $product) { product { id } userErrors { field message } }
}",
);

/// All or none.
pub(super) static VARIANTS: Query = mutation(
    "Variants",
    "mutation Variants($id: ID!, $variants: [ProductVariantsBulkInput!]!) {
  productVariantsBulkUpdate(productId: $id, variants: $variants, allowPartialUpdates: false) { userErrors { code field message } }
}",
);

pub(super) static DETACH: Query = mutation(
    "Detach",
    "mutation Detach($id: ID!, $variants: [ProductVariantDetachMediaInput!]!) {
  productVariantDetachMedia(productId: $id, variantMedia: $variants) { userErrors { code field message } }
}",
);

/// The shop refuses it without the directive.
pub(super) static QUANTITIES: Query = mutation(
    "Quantities",
    "mutation Quantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) { userErrors { code field message } }
}",
);

/// The shop refuses it without the directive.
pub(super) static ACTIVATE: Query = mutation(
    "Activate",
    "mutation Activate($item: ID!, $location: ID!, $available: Int!, $key: String!) {
  inventoryActivate(inventoryItemId: $item, locationId: $location, available: $available) @idempotent(key: $key) {
    userErrors { field message }
  }
}",
);

/// Of a product or a collection.
pub(super) static PUBLISH: Query = mutation(
    "Publish",
    "mutation Publish($id: ID!, $input: [PublicationInput!]!) { publishablePublish(id: $id, input: $input) { userErrors { field message } } }",
);

pub(super) static DELETE: Query = mutation(
    "Delete",
    "mutation Delete($input: ProductDeleteInput!) {
  productDelete(input: $input, synchronous: true) { deletedProductId userErrors { field message } }
}",
);

/// Empties fields of ours.
pub(super) static CLEAR: Query = mutation(
    "Clear",
    "mutation Clear($metafields: [MetafieldIdentifierInput!]!) { metafieldsDelete(metafields: $metafields) { userErrors { field message } } }",
);

pub(super) static REGISTER: Query = mutation(
    "Register",
    "mutation Register($id: ID!, $translations: [TranslationInput!]!) {
  translationsRegister(resourceId: $id, translations: $translations) { userErrors { code field message } }
}",
);

pub(super) static FORGET: Query = mutation(
    "Forget",
    "mutation Forget($id: ID!, $keys: [String!]!, $locales: [String!]!) {
  translationsRemove(resourceId: $id, translationKeys: $keys, locales: $locales) { userErrors { code field message } }
}",
);

pub(super) static COLLECT: Query = mutation(
    "Collect",
    "mutation Collect($collection: CollectionCreateInput!) {
  collectionCreate(collection: $collection) { collection { id } userErrors { field message } }
}",
);

/// Changes nothing that anybody sees.
pub(super) static STAGE: Query = query(
    "Stage",
    "mutation Stage($input: [StagedUploadInput!]!) {
  stagedUploadsCreate(input: $input) { stagedTargets { url resourceUrl parameters { name value } } userErrors { field message } }
}",
);
