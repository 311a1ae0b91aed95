//! Whether something can be had, as readers are told.

pub(super) const GONE: [(&str, &str); 26] = [
    (
        "en",
        "out of stock|out-of-stock|sold out|soldout|currently unavailable|no longer available|not currently available|is unavailable|not available|no longer sold|discontinued|not in stock|none in stock|temporarily unavailable|notify me when|email me when|back in stock notif|notify when available|when back in stock|when it's back|0 in stock",
    ),
    (
        "de",
        "nicht auf lager|ausverkauft|nicht lieferbar|nicht verfügbar|nicht mehr verfügbar|nicht mehr lieferbar|nicht vorrätig|vergriffen|wieder verfügbar|nicht mehr im sortiment|nicht erhältlich",
    ),
    (
        "fr",
        "rupture de stock|en rupture|indisponible|épuisé|plus disponible|non disponible|victime de son succès|m'alerter|prévenez-moi|plus en stock|pas disponible|alerte stock",
    ),
    (
        "es",
        "agotado|sin stock|no disponible|sin existencias|fuera de stock|avísame cuando|no está disponible|no hay existencias|agotada",
    ),
    ("it", "esaurito|non disponibile|non è disponibile|avvisami|non più disponibile|terminato"),
    ("pt", "esgotado|indisponível|sem estoque|fora de estoque|avise-me|sem stock|não disponível"),
    (
        "nl",
        "uitverkocht|niet op voorraad|niet beschikbaar|niet leverbaar|niet meer leverbaar|niet voorradig|tijdelijk uitverkocht",
    ),
    (
        "pl",
        "niedostępny|niedostępna|brak w magazynie|wyprzedane|wyprzedany|powiadom o dostępności|produkt niedostępny|brak towaru",
    ),
    ("cs", "vyprodáno|není skladem|nedostupné|nedostupný|hlídat dostupnost|není k dispozici"),
    ("sk", "vypredané|nie je skladom|nedostupné"),
    ("sv", "slutsåld|slut i lager|tillfälligt slut|ej i lager|finns inte i lager"),
    ("no", "utsolgt|ikke på lager|midlertidig utsolgt"),
    ("da", "udsolgt|ikke på lager"),
    ("fi", "loppu varastosta|loppuunmyyty|ei varastossa|tilapäisesti loppu"),
    ("hu", "elfogyott|nincs raktáron|nem elérhető|nem rendelhető"),
    ("ro", "stoc epuizat|indisponibil|nu este în stoc"),
    ("bg", "изчерпан|няма наличност|не е наличен"),
    (
        "ru",
        "нет в наличии|нет на складе|распродан|закончился|снят с производства|нет в продаже|о поступлении|товар отсутствует",
    ),
    ("uk", "немає в наявності|немає на складі|закінчився|знято з виробництва|о надходженні"),
    ("tr", "stokta yok|tükendi|temin edilemiyor|stokta bulunmuyor"),
    ("el", "εξαντλημένο|μη διαθέσιμο|εξαντλήθηκε"),
    ("ja", "在庫切れ|在庫なし|売り切れ|品切れ|完売|入荷待ち|販売終了"),
    ("zh", "缺货|缺貨|售罄|已售完|無庫存|无库存|到货通知|已下架|補貨中"),
    ("ko", "품절|재고없음|일시품절|판매종료"),
    ("ar", "غير متوفر|نفدت الكمية|نفذت الكمية"),
    ("others", "hết hàng|stok habis|สินค้าหมด|אזל מהמלאי|läbi müüdud|išparduota|ni na zalogi|rasprodano|nema na zalihi"),
];

pub(super) const HERE: [(&str, &str); 25] = [
    (
        "en",
        "in stock|available now|ready to ship|ships today|ships same day|usually ships|ships within|ships in|available online|available for delivery|available instantly|left in stock|in-stock|available to ship|immediate dispatch|same day dispatch",
    ),
    ("de", "auf lager|sofort lieferbar|lieferbar|vorrätig|sofort verfügbar|versandfertig|lieferung bis|lieferzeit"),
    ("fr", "en stock|disponible|expédié sous|livré chez vous|livraison sous"),
    ("es", "en stock|disponible|hay existencias|envío en|entrega en"),
    ("it", "disponibile|disponibilità immediata|in magazzino|spedito in"),
    ("pt", "em estoque|em stock|disponível|pronta entrega"),
    ("nl", "op voorraad|leverbaar|direct leverbaar|morgen in huis|voorradig"),
    ("pl", "dostępny|w magazynie|wysyłka w|na stanie|dostępna"),
    ("cs", "skladem|na skladě|ihned k odeslání"),
    ("sk", "skladom|na sklade"),
    ("sv", "i lager|finns i lager|leveranstid"),
    ("no", "på lager|leveres innen"),
    ("da", "på lager|leveringstid"),
    ("fi", "varastossa|heti toimitettavissa|saatavilla"),
    ("hu", "raktáron|készleten"),
    ("ro", "în stoc|in stoc|stoc suficient"),
    ("bg", "в наличност|налично"),
    ("ru", "в наличии|есть на складе|на складе"),
    ("uk", "в наявності|є в наявності|на складі"),
    ("tr", "stokta var|stokta|kargoda"),
    ("el", "διαθέσιμο|άμεσα διαθέσιμο|σε απόθεμα"),
    ("ja", "在庫あり|在庫有り|即納|残りわずか"),
    ("zh", "有货|有貨|现货|現貨"),
    ("ko", "재고있음|재고 있음"),
    ("others", "متوفر|còn hàng|stok tersedia|มีสินค้า|במלאי|laos|na zalogi|na zalihi"),
];

pub(super) const LATER: [(&str, &str); 8] = [
    ("en", "backorder|back-order|on back order|available on backorder"),
    ("de", "nachbestellt|wird nachgeliefert|vorbestellbar"),
    ("fr", "en réapprovisionnement|sur commande|réappro"),
    ("es", "bajo pedido|por encargo"),
    ("it", "su ordinazione|in riassortimento"),
    ("nl", "in backorder|in nabestelling"),
    ("pl", "na zamówienie"),
    ("ru", "под заказ"),
];
