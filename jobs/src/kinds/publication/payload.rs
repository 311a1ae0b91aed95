//! What a payload says of a product, checked, and as the shops' interfaces take it.

use std::collections::BTreeSet;

use api::FieldError;
use providers::{
    content::Price,
    publication::{Action, DEFAULT_STORE, Field, Patch, Picture, Variant},
};
use url::Url;

use super::order::{ProductImage, Publication, Seo};

/// Characters of a list's entry.
const LONGEST_NAME: usize = 100;

/// What the schema cannot express.
pub(super) fn check(job: &Publication) -> Vec<FieldError> {
    let mut errors = Errors(Vec::new());
    errors.line("/sku", &job.sku);
    if let Some(title) = job.title.set() {
        errors.line("/title", title);
    }
    if job.shop.is_some() && job.store.as_ref().is_some_and(|store| store != DEFAULT_STORE) {
        errors.put("/shop", "says which of the environment's stores is meant, so store can only be default beside it");
    }
    errors.price("/price", &job.price);
    errors.price("/sale_price", &job.sale_price);
    errors.sale("/sale_price", &job.price, &job.sale_price);
    if job.image_url.is_some() && !job.images.is_kept() {
        errors.put("/image_url", "is the same as images with one picture, so only one of the two can be there");
    }
    if let Some(url) = &job.image_url {
        errors.web("/image_url", url);
    }
    for (at, image) in job.images.set().into_iter().flatten().enumerate() {
        match image {
            ProductImage { url: Some(url), image_id: None, .. } => errors.web(&format!("/images/{at}/url"), url),
            ProductImage { url: None, image_id: Some(_), .. } => {}
            _ => errors.put(&format!("/images/{at}"), "must have either url or image_id"),
        }
    }
    errors.names("/categories", &job.categories);
    errors.names("/tags", &job.tags);
    errors.variants(job);
    for language in job.translations.keys() {
        let is_code = (2..=10).contains(&language.len())
            && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_code {
            errors.put(&format!("/translations/{language}"), "must be a language code, as fr or pt-BR");
        }
    }
    let carries = !job.patch(super::pictures::named(job)).names().is_empty();
    match job.action {
        Action::Publish | Action::DryRun if !carries => {
            errors.put("", "says nothing of the product: at least one of its fields must be there");
        }
        Action::Unpublish | Action::Delete | Action::Verify if carries => {
            errors.put("/action", "writes no fields, so the product's fields must not be there");
        }
        _ => {}
    }
    if job.force && job.action != Action::Delete {
        errors.put("/force", "is for delete alone");
    }
    errors.0
}

struct Errors(Vec<FieldError>);

impl Errors {
    fn put(&mut self, pointer: &str, message: &str) {
        self.0.push(FieldError::new(pointer, message));
    }

    fn line(&mut self, pointer: &str, text: &str) {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.put(pointer, "must be one line of text");
        }
    }

    fn price(&mut self, pointer: &str, price: &Field<Price>) {
        if price.set().is_some_and(|price| !price.amount.contains(|digit: char| ('1'..='9').contains(&digit))) {
            self.put(&format!("{pointer}/amount"), "must be a decimal number over 0, such as 49.90");
        }
    }

    /// What is known to be wrong before the shop's own price is.
    fn sale(&mut self, pointer: &str, price: &Field<Price>, sale: &Field<Price>) {
        let (Some(price), Some(sale)) = (price.set(), sale.set()) else { return };
        if price.currency != sale.currency {
            self.put(&format!("{pointer}/currency"), "must be that of the price");
        } else if sale.value() >= price.value() {
            self.put(&format!("{pointer}/amount"), "must be below the price");
        }
    }

    fn web(&mut self, pointer: &str, url: &str) {
        if !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            self.put(pointer, "must be an http or https URL");
        }
    }

    fn names(&mut self, pointer: &str, names: &Field<Vec<String>>) {
        for (at, name) in names.set().into_iter().flatten().enumerate() {
            if name.chars().count() > LONGEST_NAME {
                self.put(&format!("{pointer}/{at}"), "must have at most 100 characters");
            }
            self.line(&format!("{pointer}/{at}"), name);
        }
    }

    fn variants(&mut self, job: &Publication) {
        let variants = job.variants.set().map(Vec::as_slice).unwrap_or_default();
        let mut skus = BTreeSet::new();
        let mut choices = BTreeSet::new();
        for (at, variant) in variants.iter().enumerate() {
            let pointer = format!("/variants/{at}");
            self.line(&format!("{pointer}/sku"), &variant.sku);
            if !skus.insert(variant.sku.trim().to_lowercase()) {
                self.put(&format!("{pointer}/sku"), "is that of another variant");
            }
            if !choices.insert(&variant.options) {
                self.put(&format!("{pointer}/options"), "are those of another variant");
            }
            self.price(&format!("{pointer}/price"), &variant.price);
            self.price(&format!("{pointer}/sale_price"), &variant.sale_price);
            self.sale(&format!("{pointer}/sale_price"), &variant.price, &variant.sale_price);
            self.choice(&pointer, variant, job);
            if variant.stock.set().is_some_and(|stock| *stock < 0) {
                self.put(&format!("{pointer}/stock"), "must not be below 0");
            }
            let n_images = job.images.set().map(Vec::len);
            if let (Some(image), Some(n)) = (variant.image.set(), n_images)
                && usize::try_from(*image).is_ok_and(|image| image >= n)
            {
                self.put(&format!("{pointer}/image"), "must be the position of one of the images, from 0");
            }
        }
        if !variants.is_empty() && job.options.set().is_none_or(Vec::is_empty) {
            self.put("/options", "must say what the variants differ by");
        }
        if variants.is_empty() && job.options.set().is_some_and(|options| !options.is_empty()) {
            self.put("/variants", "must be there with options");
        }
        for (at, option) in job.options.set().into_iter().flatten().enumerate() {
            self.line(&format!("/options/{at}/name"), &option.name);
            for (value_at, value) in option.values.iter().enumerate() {
                self.line(&format!("/options/{at}/values/{value_at}"), value);
            }
        }
    }

    /// Each of the product's options, with one of its values.
    fn choice(&mut self, pointer: &str, variant: &Variant, job: &Publication) {
        let Some(options) = job.options.set() else { return };
        let is_known = |(name, value): (&String, &String)| {
            options.iter().any(|option| option.name == *name && option.values.contains(value))
        };
        if variant.options.len() != options.len() || !variant.options.iter().all(is_known) {
            self.put(&format!("{pointer}/options"), "must name one of the product's values for each of its options");
        }
    }
}

impl Publication {
    /// As the shops' interfaces take it, with these pictures.
    pub(super) fn patch(&self, images: Field<Vec<Picture>>) -> Patch {
        self.clone().into_patch(images)
    }

    /// The same, of a job that is not needed any more.
    pub(super) fn into_patch(self, images: Field<Vec<Picture>>) -> Patch {
        let seo = match self.seo {
            Field::Keep => Seo::default(),
            Field::Clear => Seo { title: Field::Clear, description: Field::Clear, slug: Field::Keep },
            Field::Set(seo) => seo,
        };
        Patch {
            title: self.title,
            description_html: self.description_html,
            short_description_html: self.short_description_html,
            seo_title: seo.title,
            seo_description: seo.description,
            slug: seo.slug,
            price: self.price,
            sale_price: self.sale_price,
            stock: self.stock,
            images,
            options: self.options,
            variants: self.variants,
            categories: self.categories,
            tags: self.tags,
            brand: self.brand,
            gtin: self.gtin,
            weight_g: self.weight_g,
            status: self.status,
            translations: self.translations,
        }
    }
}
