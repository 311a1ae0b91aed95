//! Words that shops write around amounts, in lower case.

use std::{collections::HashMap, sync::LazyLock};

/// What a word says of the amount behind it, or of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What was asked earlier.
    Former,
    /// What is asked when nothing is off, or what somebody recommends.
    Regular,
    /// What is saved.
    Saving,
    Shipping,
    /// Without the tax.
    Untaxed,
    /// For a kilogram, a litre, …
    UnitPrice,
    /// Part of a price that is paid in parts.
    Instalment,
    /// Goes along with any price.
    Harmless,
}

const FORMER_WORDS: &str = "was statt instead anstatt vorher früher bisher ehemals before formerly old alt alter avant \
    ancien ancienne lieu antes antiguo anterior vecchio precedente anziché invece voorheen původně původní \
    przedtem było poprzednia před førpris førhen ord ordinarie tidigare norm раньше старая было стара anterioară korábbi eredeti \
    compare war waren était era foi byla bola wynosiła volt tidligere stará starý obniżką najniższa";

const REGULAR_WORDS: &str = "uvp rrp msrp mrp srp rsp list listino listenpreis catalogue adviesprijs pvp pvpr reg regular regulär normal normalpris normalpreis \
    normaler normale normaal original originale originaler originalpreis originele oorspronkelijke ursprünglich ursprünglicher \
    ursprungspreis initial initiale pierwotna public niedrigster niedrigste lowest laagste bas basso bajo lägsta laveste nejnižší bestpreis \
    ordinary habituel habitual běžná běžně doporučená vejl vejledende zalecana recommended suggested retail \
    base conseillé recommandé consigliato regularna обычная 通常価格 定価 参考価格 原价 原價 市场价 정가 정상가 소비자가";

const SAVING_WORDS: &str = "save saving savings sparen spare spart ersparnis rabatt discount off économisez économie remise réduction ahorra \
    ahorre ahorro descuento risparmi risparmia sconto bespaar korting скидка экономия sleva ušetříte rabat oszczędzasz desconto \
    economize kedvezmény spar cashback coupon gutschein voucher bonus";

/// Of these, those that speak of what stands behind them.
const SAVES_WORDS: &str = "save spare spart économisez ahorra ahorre risparmi bespaar ušetříte oszczędzasz economize";

const SHIPPING_WORDS: &str = "versand versandkosten versandkostenfrei portofrei shipping delivery livraison port envío envio gastos spedizione verzendkosten verzending \
    frakt fragt doprava dostawa wysyłka доставка porto postage frete szállítás livrare toimitus lieferung pfand deposit consigne";

const UNIT_PRICE_WORDS: &str = "= monatlich mtl monthly mensuel mensile grundpreis kilopreis literpreis stückpreis einheitspreis jämförpris jfr jmf";

const UNTAXED_WORDS: &str = "ht netto hors ex exc excl exkl excluding exclusive bez без";

const TAXED_WORDS: &str = "ttc brutto inc incl inkl including inclusive vat mwst ust tva iva btw dph moms gst tax";

const INSTALMENTS_WORDS: &str = "raten rate ratenzahlung plazos plazo cuotas cuota parcelas parcela mensualités mensualité instalments installments \
    payments payment fois versements versement termijnen rat splátek splátky taksit monatsraten monatsrate quotas";

/// The piece itself, which a price is for anyway.
const PIECES_WORDS: &str = "each stück stueck stk st pc pcs piece pieces pce pièce pièces ud uds unit units unidad unidade item items szt ks шт \
    ea pair paar paire set stuk stuks pezzo pezzi kpl db kus styck kappale adet 個 个 件";

const MEASURES_WORDS: &str = "g gr gram grams kg kilo kilogram mg lb lbs oz pound ml cl dl l ltr liter litre litro litres liters m m² m2 qm sqm \
    mm cm km meter metre yard ft inch in zoll ml² hour hr h std stunde nacht night nuit noche tag day jour gb tb mb kb w kw kwh v mah hz \
    мл л кг г см м кв";

const MONTHS_WORDS: &str = "month months monthly mo mon mth monat monate monatlich mtl mois mensuel mes meses mensual mese mensile maand miesiąc měsíc \
    måned månad месяц мес kk hó lună ay year yr jahr an année año anno jaar rok år год annum week woche semaine semana settimana";

const MONTH_NAMES_WORDS: &str = "january february march april may june july august september october november december jan feb mar apr jun jul aug \
    sep sept oct nov dec januar februar märz mai juni juli oktober dezember okt dez janvier février mars avril juin juillet août \
    septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre \
    gennaio febbraio aprile maggio giugno luglio settembre ottobre novembre dicembre januari februari maart mei juni augustus \
    января февраля марта апреля мая июня июля августа сентября октября ноября декабря 年 月 日";

const COUNTS_WORDS: &str = "für for pour per por pro par x er pack packs packung pakker box boxes rolls rollen flaschen bottles stars sterne reviews \
    bewertungen avis days tage tagen jours jour dagen dagar días dias giorni dni dnů people left available verfügbar disponibles sold verkauft 枚 本 人 回 点 points punkte punkten pts puntos punti pontos";

const COUNTED_BEFORE_WORDS: &str = "pack set size größe taille talla model modell modèle no nr art sku ref ean isbn upc artikel tel phone call fax \
    telefon rating bewertung version type typ page seite over only-left série serie";

const PER_WORDS: &str = "per pro je par por за à na a az";

const RANGE_WORDS: &str = "to bis tot til till до a à al hasta until";

const HARMLESS_WORDS: &str = "price prices preis preise prix precio precios preço preços prezzo prijs prijzen cena ceny ceník pris hinta ár ára \
    цена ціна fiyat fiyatı fiyati τιμή preț pret harga giá ราคา 価格 가격 价格 售价 販売価格 税込 税抜 税別 from ab from: od от від desde \
    vanaf fra från da dès partir starting at as low ab: now jetzt nur only just seulement solo sólo nu maintenant ahora ora nyní \
    teraz сейчас our your my unser ihr notre votre nuestro su vår din sale special angebot offer deal today heute aktuell current selling best new neu nouveau nuevo net netto brutto gross total summe inkl incl inc incl: included including inklusive \
    excl ex exkl zzgl plus mwst ust vat tva iva btw dph moms alv pdv kdv tax taxes tasse taxe taxes ttc ht htva hors mva gst the der \
    die das le la les el il un une ein eine i is is: est ist of du des du: pm rub only: bez vč včetně s z w we you pay in approx ca circa \
    estimated buy buynow kaufen each stück stk st pc pcs piece unit ud szt ks шт ea běžná běżna běžně akční naše prodejní cenа obvyklá \
    promocyjna promocja aanbieding actie actieprijs tilbud erbjudande оферта акция promo promotion oferta offre soldes solde saldo \
    or oder uk eec ou o oppure nebo lub eller vagy или regulier internetpreis online webpreis web shop store";

/// A set of the lists above.
type Lists = u32;

const FORMER: Lists = 1 << 0;
const REGULAR: Lists = 1 << 1;
const SAVING: Lists = 1 << 2;
const SAVES: Lists = 1 << 3;
const SHIPPING: Lists = 1 << 4;
const UNIT_PRICE: Lists = 1 << 5;
const UNTAXED: Lists = 1 << 6;
const TAXED: Lists = 1 << 7;
const INSTALMENTS: Lists = 1 << 8;
const PIECES: Lists = 1 << 9;
const MEASURES: Lists = 1 << 10;
const MONTHS: Lists = 1 << 11;
const MONTH_NAMES: Lists = 1 << 12;
const COUNTS: Lists = 1 << 13;
const COUNTED_BEFORE: Lists = 1 << 14;
const PER: Lists = 1 << 15;
const RANGE: Lists = 1 << 16;
const HARMLESS: Lists = 1 << 17;

fn has(list: Lists, word: &str) -> bool {
    lists(word) & list != 0
}

/// The lists that a word stands in.
fn lists(word: &str) -> Lists {
    static INDEX: LazyLock<HashMap<&str, Lists>> = LazyLock::new(|| {
        let mut index = HashMap::new();
        for (list, words) in ALL {
            for word in words.split_whitespace() {
                *index.entry(word).or_default() |= list;
            }
        }
        index
    });
    INDEX.get(word).copied().unwrap_or_default()
}

/// All lists with their words.
const ALL: [(Lists, &str); 18] = [
    (FORMER, FORMER_WORDS),
    (REGULAR, REGULAR_WORDS),
    (SAVING, SAVING_WORDS),
    (SAVES, SAVES_WORDS),
    (SHIPPING, SHIPPING_WORDS),
    (UNIT_PRICE, UNIT_PRICE_WORDS),
    (UNTAXED, UNTAXED_WORDS),
    (TAXED, TAXED_WORDS),
    (INSTALMENTS, INSTALMENTS_WORDS),
    (PIECES, PIECES_WORDS),
    (MEASURES, MEASURES_WORDS),
    (MONTHS, MONTHS_WORDS),
    (MONTH_NAMES, MONTH_NAMES_WORDS),
    (COUNTS, COUNTS_WORDS),
    (COUNTED_BEFORE, COUNTED_BEFORE_WORDS),
    (PER, PER_WORDS),
    (RANGE, RANGE_WORDS),
    (HARMLESS, HARMLESS_WORDS),
];

/// What a word says of the amount behind it.
pub(super) fn before(word: &str) -> Option<Meaning> {
    let lists = [
        (UNTAXED, Meaning::Untaxed),
        (FORMER, Meaning::Former),
        (REGULAR, Meaning::Regular),
        (SAVING, Meaning::Saving),
        (SHIPPING, Meaning::Shipping),
        (UNIT_PRICE, Meaning::UnitPrice),
        (INSTALMENTS, Meaning::Instalment),
        (HARMLESS, Meaning::Harmless),
    ];
    lists.into_iter().find(|(list, _)| has(*list, word)).map(|(_, meaning)| meaning)
}

/// What a word right behind an amount says of it.
pub(super) fn behind(word: &str) -> Option<Meaning> {
    match before(word) {
        // "12 € statt 15 €" and "12 €, save 3 €" say nothing of the first.
        Some(Meaning::Former | Meaning::UnitPrice) => None,
        _ if has(SAVES, word) => None,
        meaning => meaning,
    }
}

pub(super) fn is_harmless(word: &str) -> bool {
    has(HARMLESS, word) || has(REGULAR, word)
}

/// Beside an amount that has no tax in it.
pub(super) fn is_untaxed(word: &str) -> bool {
    has(UNTAXED, word)
}

/// Says whether an amount has the tax in it.
pub(super) fn is_of_tax(word: &str) -> bool {
    is_untaxed(word) || has(TAXED, word)
}

/// Stands between units and cents: `12 euros and 99 cents`.
pub(super) fn is_and(word: &str) -> bool {
    matches!(word, "und" | "and" | "et" | "y" | "en" | "og" | "och")
}

/// Whether it is known what a word says of the amounts beside it.
pub(super) fn is_known(word: &str) -> bool {
    let lists = [PIECES, MEASURES, MONTHS, MONTH_NAMES, COUNTS, COUNTED_BEFORE, PER, RANGE];
    before(word).is_some() || is_untaxed(word) || lists.into_iter().any(|list| has(list, word))
}

pub(super) fn is_instalments(word: &str) -> bool {
    has(INSTALMENTS, word)
}

pub(super) fn is_piece(word: &str) -> bool {
    has(PIECES, word)
}

pub(super) fn is_measure(word: &str) -> bool {
    has(MEASURES, word)
}

pub(super) fn is_period(word: &str) -> bool {
    has(MONTHS, word)
}

pub(super) fn is_month_name(word: &str) -> bool {
    has(MONTH_NAMES, word)
}

/// Whether a number before this word counts something.
pub(super) fn is_counted(word: &str) -> bool {
    has(COUNTS, word) || is_piece(word) || is_measure(word)
}

/// Whether a number behind this word counts or names something.
pub(super) fn counts_next(word: &str) -> bool {
    has(COUNTED_BEFORE, word)
}

pub(super) fn is_per(word: &str) -> bool {
    has(PER, word)
}

pub(super) fn is_range(word: &str) -> bool {
    has(RANGE, word)
}

/// How many zeros a word adds to the number before it.
pub(super) fn zeros(word: &str) -> Option<usize> {
    match word {
        "k" | "rb" | "ribu" | "nghìn" | "ngàn" | "tys" | "tis" | "тыс" | "тис" | "tsd" | "mil" | "천" => {
            Some(3)
        }
        "万" | "萬" | "만" => Some(4),
        "lakh" | "lakhs" | "lac" => Some(5),
        "m" | "mio" | "mln" | "million" | "millions" | "millionen" | "jt" | "juta" | "triệu" | "млн" => Some(6),
        "crore" | "crores" | "cr" => Some(7),
        "億" | "亿" | "억" => Some(8),
        "mrd" | "billion" | "bn" | "tỷ" | "miliar" => Some(9),
        _ => None,
    }
}

/// Small coins that mean something else but behind a sign and a number: `49 zł 90 gr`.
pub(super) fn is_hundredth(word: &str) -> bool {
    matches!(
        word,
        "gr" | "groszy"
            | "hal"
            | "haléřů"
            | "bani"
            | "fillér"
            | "para"
            | "paise"
            | "kuruş"
            | "kr"
            | "sen"
            | "rappen"
            | "rp"
            | "cént"
            | "стотинки"
            | "копеек"
            | "копейки"
            | "копійок"
    )
}

/// The whole text says that nothing is to be paid.
pub(super) fn is_free(text: &str) -> bool {
    let lower = text.trim().trim_end_matches(['!', '.']).to_lowercase();
    matches!(
        lower.as_str(),
        "free"
            | "free of charge"
            | "for free"
            | "gratis"
            | "kostenlos"
            | "umsonst"
            | "gratuit"
            | "gratuito"
            | "gratuita"
            | "zdarma"
            | "za darmo"
            | "бесплатно"
            | "безкоштовно"
            | "無料"
            | "免费"
            | "免費"
            | "무료"
            | "miễn phí"
            | "ücretsiz"
            | "ingyenes"
            | "ilmainen"
    )
}
