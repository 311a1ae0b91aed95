//! The sentences of the templates. They claim nothing of a product that its data does not say.
//!
//! `{name}`, `{category}`, `{price}` and `{features}` are filled in. French needs no grammatical gender here: names and
//! categories stand in apposition.

use super::{Language, Tone};

/// The sentences of one language.
pub(super) struct Phrases {
    pub(super) professional: Voice,
    pub(super) friendly: Voice,
    pub(super) luxury: Voice,
    pub(super) playful: Voice,
    pub(super) technical: Voice,
    /// Heading above the features.
    pub(super) features_heading: [&'static str; 3],
    /// Heading above the general paragraphs.
    pub(super) advice_heading: [&'static str; 3],
    /// General paragraphs, as many as the length asks for.
    pub(super) advice: [&'static str; 8],
    /// Said when there is a price.
    pub(super) price: [&'static str; 3],
    /// Feature lines for products that have too few of their own.
    pub(super) category_line: &'static str,
    pub(super) reference_line: &'static str,
    pub(super) price_line: &'static str,
    /// Search description, with and without features.
    pub(super) meta: [&'static str; 3],
    pub(super) meta_features: [&'static str; 3],
    /// Questions with answers: always, with features, with a price.
    pub(super) faq: [(&'static str, &'static str); 2],
    pub(super) faq_features: (&'static str, &'static str),
    pub(super) faq_price: (&'static str, &'static str),
    /// Between entries of a sentence, and before the last.
    pub(super) last_comma: &'static str,
}

/// The sentences of one tone.
pub(super) struct Voice {
    /// The short description.
    pub(super) lead: [&'static str; 3],
    /// First paragraph of the long description.
    pub(super) opening: [&'static str; 3],
    /// Its last paragraph.
    pub(super) closing: [&'static str; 2],
}

impl Phrases {
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::Fr => &FRENCH,
            Language::En => &ENGLISH,
        }
    }

    pub(super) fn voice(&self, tone: Tone) -> &Voice {
        match tone {
            Tone::Professional => &self.professional,
            Tone::Friendly => &self.friendly,
            Tone::Luxury => &self.luxury,
            Tone::Playful => &self.playful,
            Tone::Technical => &self.technical,
        }
    }
}

const FRENCH: Phrases = Phrases {
    professional: Voice {
        lead: [
            "<strong>{name}</strong> : une référence de notre rayon {category}, présentée avec toutes ses caractéristiques.",
            "Dans notre rayon {category}, <strong>{name}</strong> répond à un besoin clair, avec des caractéristiques précises.",
            "<strong>{name}</strong> rejoint notre sélection {category} : l’essentiel à savoir pour choisir en confiance.",
        ],
        opening: [
            "{name} fait partie de notre sélection {category}. Cette page réunit les informations utiles pour comparer et décider.",
            "Vous cherchez un article du rayon {category} dont les caractéristiques sont clairement indiquées ? {name} mérite votre attention.",
            "Avec {name}, notre rayon {category} s’enrichit d’un choix facile à évaluer, point par point.",
        ],
        closing: [
            "{name} est à retrouver dès maintenant dans notre rayon {category}.",
            "Prenez le temps de comparer : {name} vous attend dans notre rayon {category}.",
        ],
    },
    friendly: Voice {
        lead: [
            "Faites connaissance avec <strong>{name}</strong>, une jolie trouvaille de notre rayon {category} !",
            "On vous présente <strong>{name}</strong>, qui a trouvé sa place dans notre rayon {category} et pourrait bien la trouver chez vous.",
            "Envie de nouveauté côté {category} ? <strong>{name}</strong> est là pour vous.",
        ],
        opening: [
            "On vous dit tout sur {name}, à découvrir dans notre rayon {category}. Installez-vous, on fait le tour ensemble.",
            "Bonne nouvelle pour celles et ceux qui parcourent notre rayon {category} : {name} est là, et on vous raconte pourquoi cela vaut le coup d’œil.",
            "Choisir n’est pas toujours simple. Pour {name}, on a rassemblé ici ce qu’il faut savoir, sans détour.",
        ],
        closing: [
            "Alors, {name} vous fait envie ? À très vite dans notre rayon {category} !",
            "Une hésitation ? Relisez les points ci-dessus : {name} se choisit en toute tranquillité.",
        ],
    },
    luxury: Voice {
        lead: [
            "<strong>{name}</strong> : une proposition singulière au sein de notre sélection {category}.",
            "L’attention portée à chaque détail se lit dans <strong>{name}</strong>, à découvrir dans notre univers {category}.",
            "Notre univers {category} s’ouvre à <strong>{name}</strong>, pour celles et ceux qui choisissent avec exigence.",
        ],
        opening: [
            "Il est des choix que l’on prend plaisir à faire lentement. {name} en fait partie, au cœur de notre univers {category}.",
            "{name} s’adresse à celles et ceux pour qui chaque détail compte. Notre univers {category} lui offre un écrin naturel.",
            "Regarder, comparer, apprécier : {name} invite à prendre son temps, dans l’univers {category}.",
        ],
        closing: [
            "{name} vous attend dans notre univers {category}, pour vous-même ou pour une attention choisie.",
            "Accordez à {name} le temps d’un regard attentif : notre univers {category} lui est ouvert.",
        ],
    },
    playful: Voice {
        lead: [
            "Attention, coup de cœur en vue : <strong>{name}</strong> débarque au rayon {category} !",
            "Qui a dit que le rayon {category} manquait de peps ? Certainement pas <strong>{name}</strong> !",
            "<strong>{name}</strong> : à croiser au rayon {category}, et à adopter sans faire de chichis.",
        ],
        opening: [
            "Roulement de tambour… {name} entre en scène au rayon {category} ! Voici de quoi faire les présentations.",
            "Il y a les articles sages, et il y a {name}. Petit tour du propriétaire au rayon {category}.",
            "Vous passiez par le rayon {category}, et {name} vous a fait de l’œil ? Regardons cela de plus près.",
        ],
        closing: [
            "Voilà, vous savez tout de {name}. La suite se joue au rayon {category} !",
            "Trois, deux, un… {name} n’attend plus que vous au rayon {category} !",
        ],
    },
    technical: Voice {
        lead: [
            "<strong>{name}</strong>, catégorie {category} : les données utiles, réunies sur une page.",
            "Fiche de <strong>{name}</strong>, catégorie {category} : caractéristiques, usage et points à contrôler.",
            "<strong>{name}</strong> : les caractéristiques à comparer dans la catégorie {category}.",
        ],
        opening: [
            "Cette fiche présente {name}, dans la catégorie {category}, à partir des seules données communiquées.",
            "Les informations ci-dessous décrivent {name}. Elles permettent une comparaison directe au sein de la catégorie {category}.",
            "Pour évaluer {name}, cette fiche s’en tient aux caractéristiques déclarées, dans la catégorie {category}.",
        ],
        closing: [
            "Avant de commander {name}, vérifiez que chaque caractéristique correspond à votre usage.",
            "{name} se compare aux autres références de la catégorie {category} sur la base de ces caractéristiques.",
        ],
    },
    features_heading: ["Ses points forts", "Les caractéristiques", "Ce qu’il faut retenir"],
    advice_heading: ["Bien choisir", "Nos conseils", "Pour vous aider à décider"],
    advice: [
        "Avant tout achat dans le rayon {category}, pensez à l’usage que vous en ferez au quotidien : qui s’en servira, à quelle fréquence et dans quelles conditions. Ces trois réponses suffisent souvent à faire le tri entre plusieurs modèles.",
        "Comparez toujours les caractéristiques une à une plutôt que l’impression générale. Une liste courte de critères, classés par importance, permet de voir rapidement si {name} correspond à ce que vous cherchez.",
        "Si vous hésitez entre deux articles, notez ce que vous ne voulez surtout pas. Il est souvent plus simple d’écarter que de choisir, et la décision n’en est que plus sereine.",
        "Pour un cadeau, renseignez-vous discrètement sur les habitudes de la personne : ses goûts, la place dont elle dispose et ce qu’elle possède déjà dans le domaine {category}.",
        "Pensez aussi à ce qui entoure l’achat : l’emplacement prévu, les accessoires que vous avez déjà et le temps que vous souhaitez y consacrer. Un choix bien préparé se regrette rarement.",
        "Conservez la référence et la preuve d’achat au même endroit. En cas de question sur {name}, vous retrouverez aussitôt les informations nécessaires et nos équipes pourront vous répondre plus vite.",
        "Lisez l’ensemble de la fiche avant de vous décider : les détails que l’on survole sont souvent ceux qui font la différence à l’usage, surtout dans un rayon aussi varié que {category}.",
        "À la réception, prenez un moment pour vérifier que l’article correspond à la fiche, point par point. C’est aussi la meilleure façon de découvrir {name} et d’en tirer le meilleur parti.",
    ],
    price: ["Prix : {price}.", "{name} vous attend au prix de {price}.", "À noter : son prix est de {price}."],
    category_line: "Rayon : {category}",
    reference_line: "Référence : {reference}",
    price_line: "Prix : {price}",
    meta: [
        "Découvrez {name} dans notre rayon {category} : présentation, conseils et réponses à vos questions.",
        "{name} : tout savoir avant de choisir. Présentation complète et conseils du rayon {category}.",
        "{name}, à retrouver dans notre rayon {category}. Présentation détaillée et questions fréquentes.",
    ],
    meta_features: [
        "{name} : {features}. À découvrir dans notre rayon {category}.",
        "Découvrez {name}, rayon {category} : {features}.",
        "{name}, rayon {category}. Points forts : {features}.",
    ],
    faq: [
        ("Dans quel rayon se trouve {name} ?", "{name} se trouve dans notre rayon {category}."),
        (
            "Comment savoir si {name} me convient ?",
            "Comparez les caractéristiques de cette page avec l’usage que vous prévoyez, et posez-nous vos questions avant de commander.",
        ),
    ],
    faq_features: ("Quelles sont les principales caractéristiques de {name} ?", "À retenir : {features}."),
    faq_price: ("Quel est le prix de {name} ?", "Son prix est de {price}."),
    last_comma: " et ",
};

const ENGLISH: Phrases = Phrases {
    professional: Voice {
        lead: [
            "<strong>{name}</strong>: part of our {category} range, presented with everything you need to know.",
            "From our {category} range, <strong>{name}</strong> meets a clear need and states its features plainly.",
            "<strong>{name}</strong> joins our {category} selection: the essentials for a confident choice.",
        ],
        opening: [
            "{name} is part of our {category} selection. This page brings together what you need to compare and decide.",
            "Looking in {category} for something whose features are stated clearly? {name} deserves your attention.",
            "With {name}, our {category} range gains an option that is easy to judge, point by point.",
        ],
        closing: [
            "You will find {name} in our {category} range.",
            "Take your time to compare: {name} is waiting in our {category} range.",
        ],
    },
    friendly: Voice {
        lead: [
            "Say hello to <strong>{name}</strong>, a lovely find from our {category} range!",
            "Meet <strong>{name}</strong>: it has found a home in our {category} range, and may well find one with you.",
            "In the mood for something new in {category}? <strong>{name}</strong> is here for you.",
        ],
        opening: [
            "Here is all there is to know about {name}, from our {category} range. Make yourself comfortable and have a look around with us.",
            "Good news if you are browsing {category}: {name} is here, and we would love to tell you why it is worth a look.",
            "Choosing is not always easy. For {name}, we have put everything you need in one place, in plain words.",
        ],
        closing: [
            "So, do you fancy {name}? See you soon in our {category} range!",
            "Still not sure? Have another look at the points above, and choose {name} with peace of mind.",
        ],
    },
    luxury: Voice {
        lead: [
            "<strong>{name}</strong>: a singular proposition within our {category} selection.",
            "Care for every detail speaks from <strong>{name}</strong>, to be discovered in our world of {category}.",
            "Our world of {category} welcomes <strong>{name}</strong>, for those who choose with discernment.",
        ],
        opening: [
            "Some choices are a pleasure to make slowly. {name} is one of them, at the heart of our world of {category}.",
            "{name} speaks to those for whom every detail matters. Our world of {category} is its natural setting.",
            "To look, to compare, to appreciate: {name} invites you to take your time in the world of {category}.",
        ],
        closing: [
            "{name} awaits you in our world of {category}, for yourself or as a considered gift.",
            "Grant {name} the moment of attention it asks for; our world of {category} is open to you.",
        ],
    },
    playful: Voice {
        lead: [
            "Watch out, crush ahead: <strong>{name}</strong> has landed in {category}!",
            "Who said that {category} was short on sparkle? Certainly not <strong>{name}</strong>!",
            "<strong>{name}</strong>: spotted in {category}, and ready to be adopted without any fuss.",
        ],
        opening: [
            "Drum roll, please… {name} takes the stage in {category}! Allow us to make the introductions.",
            "There are well-behaved products, and then there is {name}. Come along for the grand tour of this {category} number.",
            "You were strolling through {category} and {name} winked at you? Let us take a closer look.",
        ],
        closing: [
            "There you go: now you know all about {name}. The rest happens in {category}!",
            "Three, two, one… {name} is only waiting for you in {category}!",
        ],
    },
    technical: Voice {
        lead: [
            "<strong>{name}</strong>, category {category}: the relevant data in one place.",
            "Data sheet of <strong>{name}</strong>, category {category}: features, use and points to check.",
            "<strong>{name}</strong>: the features to compare within the category {category}.",
        ],
        opening: [
            "This sheet presents {name}, listed in the category {category}, from the declared data only.",
            "The information below describes {name}. It allows a direct comparison within the category {category}.",
            "To assess {name}, this sheet keeps to the declared features within the category {category}.",
        ],
        closing: [
            "Before ordering {name}, check that each feature suits the use you have in mind.",
            "On the basis of these features, {name} can be compared with the other products of the category {category}.",
        ],
    },
    features_heading: ["What stands out", "Features", "At a glance"],
    advice_heading: ["Choosing well", "Our advice", "To help you decide"],
    advice: [
        "Before buying anything in {category}, think of everyday use: who will use it, how often, and under what conditions. These three answers are often enough to narrow the choice down.",
        "Compare features one by one rather than by overall impression. A short list of criteria, ranked by importance, quickly shows whether {name} is what you are looking for.",
        "If you hesitate between two products, write down what you definitely do not want. Ruling out is often simpler than choosing, and makes for a calmer decision.",
        "For a gift, find out discreetly about the person’s habits: their taste, the space they have, and what they already own in {category}.",
        "Think of what surrounds the purchase, too: where it will go, which accessories you already have, and how much time you wish to spend on it. A well-prepared choice is rarely regretted.",
        "Keep the reference and the proof of purchase in one place. Should you have a question about {name}, you will find what you need at once, and our team can answer you faster.",
        "Read the whole page before you decide: the details that one skims over are often those that matter in use, all the more in a range as varied as {category}.",
        "When it arrives, take a moment to check that it matches this page, point by point. It is also the best way to get to know {name} and to make the most of it.",
    ],
    price: ["Price: {price}.", "{name} is offered at {price}.", "Good to know: the price is {price}."],
    category_line: "Category: {category}",
    reference_line: "Reference: {reference}",
    price_line: "Price: {price}",
    meta: [
        "Discover {name} in our {category} range: presentation, advice and answers to your questions.",
        "{name}: all you need to know before choosing. Full presentation and advice from our {category} range.",
        "{name}, in our {category} range. Detailed presentation and frequent questions.",
    ],
    meta_features: [
        "{name}: {features}. Discover it in our {category} range.",
        "Discover {name} in our {category} range: {features}.",
        "{name}, {category} range. What stands out: {features}.",
    ],
    faq: [
        ("Where do I find {name}?", "{name} is part of our {category} range."),
        (
            "How do I know whether {name} is right for me?",
            "Compare the features on this page with the use you have in mind, and ask us before you order.",
        ),
    ],
    faq_features: ("What are the main features of {name}?", "The points to remember: {features}."),
    faq_price: ("What is the price of {name}?", "The price is {price}."),
    last_comma: " and ",
};
