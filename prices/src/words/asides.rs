//! What headings say of other products, and what stands where a price is not for everybody, or is not told.

/// Over products that are not the page's own.
pub(super) const RELATED: [(&str, &str); 17] = [
    (
        "en",
        "you may also like|you might also like|related product|customers also|recommended for you|similar product|similar item|frequently bought|recently viewed|people also|complete the look|pairs well|goes well with|its successor|more from|others also|we also recommend|you may like|also viewed|also bought|suggested for you|related item",
    ),
    (
        "de",
        "das könnte|ähnliche artikel|ähnliche produkte|kunden kauften|kunden haben|passt dazu|dazu passt|passend dazu|zuletzt angesehen|empfehlungen|wird oft zusammen|nachfolger|andere kunden|weitere artikel|zubehör",
    ),
    (
        "fr",
        "vous aimerez|produits similaires|produits associés|les clients ont|vous pourriez|nous vous recommandons|récemment consultés|complétez|articles similaires|dans la même catégorie|nos suggestions",
    ),
    (
        "es",
        "también te puede|productos relacionados|te puede interesar|productos similares|quienes compraron|visto recientemente|también te|te recomendamos|también compraron",
    ),
    (
        "it",
        "potrebbe interessarti|prodotti correlati|prodotti simili|chi ha acquistato|ti potrebbe|visti di recente|potrebbero piacerti",
    ),
    (
        "pt",
        "você também|produtos relacionados|quem comprou|também poderá|produtos similares|quem viu|também vai gostar",
    ),
    (
        "nl",
        "misschien ook|gerelateerde producten|anderen bekeken|vergelijkbare|anderen kochten|bekijk ook|laatst bekeken|vaak samen",
    ),
    ("pl", "podobne produkty|może ci się|zobacz także|klienci kupili|polecane|powiązane produkty|inni kupili"),
    ("cs", "související|podobné|mohlo by se|ostatní nakupují|naposledy prohlížené"),
    ("sv", "du kanske|relaterade|liknande produkter|andra köpte|du gillar kanske|passar till"),
    ("da", "måske kan du|relaterede|lignende produkter|andre købte|du vil måske"),
    ("no", "du vil kanskje|relaterte|lignende produkter|andre kjøpte"),
    ("fi", "saatat pitää|samankaltaiset|muut ostivat|suosittelemme"),
    ("ru", "похожие товары|с этим товаром|вам может понравиться|рекомендуем|сопутствующие|вы смотрели"),
    ("uk", "схожі товари|з цим товаром|вам може сподобатися|рекомендуємо"),
    ("tr", "benzer ürünler|bunları da|birlikte alınan|ilginizi çekebilir"),
    ("asia", "関連商品|おすすめ|この商品を見た|一緒に購入|相关商品|猜你喜欢|为您推荐|함께 본|추천 상품"),
];

/// Beside a price that only some pay: members, those of an app, those who pay in a certain way.
pub(super) const FEW: [(&str, &str); 12] = [
    (
        "en",
        "member|with prime|clubcard|loyalty|app price|in the app|app only|student|education|with coupon|with code|trade price|subscribe|auto-deliver|approximately|with card|open box|open-box|refurbished|used from|trade-in|per person|up to|upto ",
    ),
    (
        "de",
        "mitglied|clubpreis|kundenkarte|mit gutschein|nur in der app|im abo|spar-abo|gebraucht|b-ware|bis zu|in der app|ankaufspreis",
    ),
    (
        "fr",
        "adhérent|membre|prix club|carte fidélité|avec le code|abonnement|occasion|reconditionné|dans l'appli|dans l’appli",
    ),
    ("es", "socio|precio club|con cupón|suscripción|en la app|reacondicionado|segunda mano"),
    ("it", "soci|prezzo club|con coupon|abbonamento|usato|ricondizionato"),
    ("pt", "no pix|à vista|no boleto|assinante|via pix|com cupom"),
    ("nl", "ledenprijs|met kaart|tweedehands|tweede kans|tweedekans|leden betalen"),
    ("pl", "klubowa|z kartą|z aplikacją|z kodem|używany"),
    ("sv", "medlem|begagnad|klubbpris|stammis"),
    ("da", "medlemspris|medlem|brugt"),
    ("ru", "по карте|с картой|б/у|по подписке"),
    ("asia", "定期|会員|会员|會員|중고|회원가"),
];

/// The lowest of some days, as the law has it told beside what is off.
pub(super) const LOWEST: &str = "30 días|30 dias|30 tage|30 jours|30 giorni|letzten 30|last 30|past 30|30 derniers|ultimi 30|últimos 30|30 dni|30 dagen|30 dage|30 dagar|30 dnů|30 dní|30 napos";

/// Beside a price that the tax comes on top of.
pub(super) const UNTAXED: &str = "ex tax|ex. tax|ex vat|ex gst|without tax|ohne mwst|ohne steuer|nettopreis|hors tax|sin iva|sin impuestos|senza iva|iva esclusa|\
    imponibile|sem iva|sem imposto|zonder btw|excl. btw|ex btw|fără tva|fara tva|bez dph|bez podatku|bez pdv|bez ddv|bez pvn|be pvm|без ндс|без пдв|без ддс|\
    kdv hariç|vergiler hariç|vergisiz|nettó|utan moms|exkl. moms|uden moms|eks. moms|ekskl. moms|veroton|χωρίς φπα|税抜|税別|不含税";

/// In the place of a price.
pub(super) const ON_REQUEST: [(&str, &str); 9] = [
    (
        "en",
        "price on request|price upon request|request a quote|call for price|price on application|contact us for price|log in to see|login to see|log in for price|sign in to see|sign in for price|login for price|log in to view|members only|unlock pricing|price calculated|for pricing|to see price|see price in cart|get a quote",
    ),
    (
        "de",
        "preis auf anfrage|preise auf anfrage|preis nach anmeldung|preise nach anmeldung|anmelden, um preise|anmelden um preise|nur für händler|preise sehen sie nach|preis wird berechnet",
    ),
    ("fr", "prix sur demande|sur devis|connectez-vous pour voir|prix après connexion|demander un devis"),
    ("es", "precio a consultar|consulte precio|consultar precio|inicia sesión para ver|pedir presupuesto"),
    ("it", "prezzo su richiesta|accedi per vedere|richiedi un preventivo"),
    ("pt", "preço sob consulta|sob consulta|entre para ver o preço"),
    ("nl", "prijs op aanvraag|log in voor prijzen|offerte aanvragen"),
    ("pl", "cena na zapytanie|zaloguj się, aby|zapytaj o cenę"),
    (
        "others",
        "pris på förfrågan|pris beräknas|pris på forespørsel|pris på forespørgsel|цена по запросу|ціна за запитом|cena na vyžádání|fiyat sorunuz|お問い合わせください|价格面议",
    ),
];
