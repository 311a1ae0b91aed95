use super::*;

fn read(text: &str, known: Option<&str>) -> Option<(String, Option<String>)> {
    from_text(text, known).map(|money| (money.amount.normalize().to_string(), money.currency))
}

/// Text, amount, currency (`-` when the text names none for sure).
fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (text, amount, currency) in cases {
        let amount = Decimal::from_str_exact(amount).unwrap().normalize().to_string();
        let expected = Some((amount, (*currency != "-").then(|| (*currency).to_owned())));
        let found = read(text, None);
        if found != expected {
            wrong.push(format!("{text:?}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn refuse(texts: &[&str]) {
    let wrong: Vec<String> =
        texts.iter().filter_map(|text| Some(format!("{text:?}: {:?}", read(text, None)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn amounts_are_read_as_shops_write_them() {
    check(&[
        ("1299", "1299", "-"),
        ("1299.00", "1299.00", "-"),
        ("1 299,00", "1299.00", "-"),
        ("1\u{a0}299,00 €", "1299.00", "EUR"),
        ("1\u{202f}299,00\u{a0}€ TTC", "1299.00", "EUR"),
        ("1\u{2007}299,00 €", "1299", "EUR"),
        ("1\u{2009}299\u{2009}000 €", "1299000", "EUR"),
        ("1.299,00", "1299.00", "-"),
        ("1,299.00", "1299.00", "-"),
        ("€ 1.299,-", "1299", "EUR"),
        ("€ 1.299,--", "1299", "EUR"),
        ("1.299,– €", "1299", "EUR"),
        ("CHF 14.–", "14", "CHF"),
        ("CHF 1'299.50", "1299.50", "CHF"),
        ("CHF 1’299.50", "1299.50", "CHF"),
        ("CHF 1`299.-", "1299", "CHF"),
        ("Fr. 12.50", "12.50", "CHF"),
        ("SFr. 1'250.–", "1250", "CHF"),
        ("12'99 €", "12.99", "EUR"),
        ("$1,299", "1299", "-"),
        ("1.299.000,5", "1299000.5", "-"),
        ("2,499,000", "2499000", "-"),
        ("0.999", "0.999", "-"),
        ("12,9", "12.9", "-"),
        ("129.0000", "129", "-"),
        ("1299.000", "1299", "-"),
        ("0", "0", "-"),
        ("0,00 €", "0", "EUR"),
        ("ab 12,99 €, statt 159,00 €", "12.99", "EUR"),
        ("12,99 159,00", "12.99", "-"),
        ("1.2E+3", "1200", "-"),
        ("19.989999999999998", "19.99", "-"),
        ("12·99", "12.99", "-"),
        ("£12·99", "12.99", "GBP"),
        ("  12.99\n", "12.99", "-"),
        ("\u{feff}12.99\u{200e}", "12.99", "-"),
    ]);
}

#[test]
fn separators_may_be_doubled_spaced_or_stand_first() {
    check(&[
        ("18. 95", "18.95", "-"),
        ("18 ,95 €", "18.95", "EUR"),
        ("$ 18 . 95", "18.95", "-"),
        ("1. 299,00 €", "1299.00", "EUR"),
        (".45 €", "0.45", "EUR"),
        (",89", "0.89", "-"),
        ("€ ,89", "0.89", "EUR"),
        ("$.99", "0.99", "-"),
        ("1.349.00", "1349.00", "-"),
        ("1,299,00", "1299.00", "-"),
        ("1.234.567.89", "1234567.89", "-"),
        ("1  349,00 €", "1349.00", "EUR"),
        ("1   349 €", "1349", "EUR"),
        ("12,99,000", "1299000", "-"),
        ("₹ 1,29,999.00", "129999", "INR"),
        ("₹12,34,567", "1234567", "INR"),
        ("Rs. 1,00,000", "100000", "-"),
    ]);
}

#[test]
fn a_sign_or_a_raised_size_can_be_the_decimal_point() {
    check(&[
        ("42€90", "42.90", "EUR"),
        ("12€05", "12.05", "EUR"),
        ("1 299€00", "1299", "EUR"),
        ("12 € 99", "12.99", "EUR"),
        ("5£50", "5.50", "GBP"),
        ("19 99 €", "19.99", "EUR"),
        ("$19 99", "19.99", "-"),
        ("19 05 €", "19.05", "EUR"),
        ("12⁹⁹ €", "12.99", "EUR"),
        ("12,⁹⁹ €", "12.99", "EUR"),
        ("12 euros 50 cents", "12.50", "EUR"),
        ("1 599 руб. 00 коп.", "1599", "RUB"),
        ("49 zł 90 gr", "49.90", "PLN"),
        ("49 zł 50 g", "49", "PLN"),
        ("99 ct", "0.99", "-"),
        ("5¢", "0.05", "-"),
    ]);
}

#[test]
fn the_currency_is_that_of_the_amount() {
    check(&[
        ("AED 450 (USD 122)", "450", "AED"),
        ("CHF 59.00 / EUR 62.00", "59.00", "CHF"),
        ("12,99 € (14.50 CHF)", "12.99", "EUR"),
        ("549 SEK", "549", "SEK"),
        ("549 sek", "549", "SEK"),
        ("USD$ 15", "15", "USD"),
        ("$12.99 USD", "12.99", "USD"),
        ("US $ 139", "139", "USD"),
        ("US$139", "139", "USD"),
        ("AU$20", "20", "AUD"),
        ("A$20", "20", "AUD"),
        ("C$ 15", "15", "CAD"),
        ("CA$15", "15", "CAD"),
        ("S$ 12.50", "12.50", "SGD"),
        ("HK$1,200", "1200", "HKD"),
        ("NT$1,200", "1200", "TWD"),
        ("NZ$ 5", "5", "NZD"),
        ("R$ 1.299,90", "1299.90", "BRL"),
        ("MX$ 250", "250", "MXN"),
        ("$ 12", "12", "-"),
        ("12 kr", "12", "-"),
        ("12 kr.", "12", "-"),
        ("kr.1.249,00", "1249", "-"),
        ("1 290 Kč", "1290", "CZK"),
        ("1 318,-Kč", "1318", "CZK"),
        ("Běžná cena 75 990,00 Kč", "75990", "CZK"),
        ("129,90 zł", "129.90", "PLN"),
        ("129,90zł", "129.90", "PLN"),
        ("12 990 Ft", "12990", "HUF"),
        ("199 lei", "199", "RON"),
        ("12,50 лв.", "12.50", "BGN"),
        ("3500 руб.", "3500", "RUB"),
        ("15 130 Р", "15130", "RUB"),
        ("15 130 ₽", "15130", "RUB"),
        ("1 200 грн", "1200", "UAH"),
        ("1 200 ₴", "1200", "UAH"),
        ("5 000 ₸", "5000", "KZT"),
        ("1.299,00 TL", "1299", "TRY"),
        ("₺1.299", "1299", "TRY"),
        ("¥1,280", "1280", "-"),
        ("1,280円", "1280", "JPY"),
        ("税込1,280円", "1280", "JPY"),
        ("1,280円(税込)", "1280", "JPY"),
        ("1.5万円", "15000", "JPY"),
        ("Rp 1,5 jt", "1500000", "IDR"),
        ("Rp 499 rb", "499000", "IDR"),
        ("499K VND", "499000", "VND"),
        ("₹1.5 Lakh", "150000", "INR"),
        ("$1.5 million", "1500000", "-"),
        ("128元", "128", "CNY"),
        ("12,000원", "12000", "KRW"),
        ("₩12,000", "12000", "KRW"),
        ("₹ 499", "499", "INR"),
        ("RM 49.90", "49.90", "MYR"),
        ("Rp 1.550.000", "1550000", "IDR"),
        ("Rp50.000", "50000", "IDR"),
        ("1.100.000₫", "1100000", "VND"),
        ("1.100.000 đ", "1100000", "VND"),
        ("฿1,290", "1290", "THB"),
        ("฿ ๑,๒๙๐", "1290", "THB"),
        ("₱1,299.00", "1299", "PHP"),
        ("₪ 199.90", "199.90", "ILS"),
        ("د.إ 45.00", "45", "AED"),
        ("٤٥٫٥٠ ر.س", "45.50", "SAR"),
        ("١٬٢٩٩ ر.س.", "1299", "SAR"),
        ("151,200 تومان", "151200", "-"),
        ("۱۵۱٬۲۰۰ تومان", "151200", "-"),
        ("R 1 299.00", "1299", "ZAR"),
        ("R499", "499", "ZAR"),
        ("₦4,500", "4500", "NGN"),
        ("KSh 1,200", "1200", "KES"),
        ("S/. 25.00", "25", "PEN"),
        ("S/25.00", "25", "PEN"),
        ("£12.99", "12.99", "GBP"),
        ("EUR12.99", "12.99", "EUR"),
        ("12.99EUR", "12.99", "EUR"),
        ("12,99 Euro", "12.99", "EUR"),
        ("12,99¤", "12.99", "EUR"),
        ("１２，９９０円", "12990", "JPY"),
        ("￥１，２８０", "1280", "-"),
        ("1 299,00 TTC", "1299", "-"),
        ("TTC 49,90", "49.90", "-"),
    ]);
}

#[test]
fn three_digits_are_decimal_places_where_the_currency_has_three() {
    check(&[
        ("12.750 KD", "12.750", "KWD"),
        ("KD 1,250.750", "1250.750", "KWD"),
        ("BHD 12.500", "12.5", "BHD"),
        ("BD 3.750", "3.75", "BHD"),
        ("1,299 DT", "1.299", "TND"),
        ("OMR 5.250", "5.25", "OMR"),
        ("25,000 IQD", "25000", "IQD"),
        ("1.299 €", "1299", "EUR"),
        ("1.299", "1299", "-"),
        ("$1.299", "1299", "-"),
        ("JPY 1.299", "1299", "JPY"),
        ("1 299.000 €", "1299", "EUR"),
    ]);
    assert_eq!(read("1,299", Some("TND")), Some(("1.299".to_owned(), None)));
    assert_eq!(read("12.750", Some("KWD")), Some(("12.75".to_owned(), None)));
    assert_eq!(read("12.750", Some("EUR")), Some(("12750".to_owned(), None)));
}

#[test]
fn a_colon_is_a_point_beside_crowns_only() {
    check(&[
        ("79:50 kr", "79.50", "-"),
        ("79:- kr", "79", "-"),
        ("79:-", "79", "-"),
        ("1 299:-", "1299", "-"),
        ("1 299:50 SEK", "1299.50", "SEK"),
        ("kr 79:50", "79.50", "-"),
        ("Preis: 12,50 €", "12.50", "EUR"),
    ]);
    refuse(&["12:30", "12:30 €", "20:15 Uhr", "12:30:15"]);
    assert_eq!(read("79:50", Some("SEK")), Some(("79.5".to_owned(), None)));
}

#[test]
fn counts_measures_and_percentages_are_passed_over() {
    check(&[
        ("2 Stück für 9,80 €", "9.80", "EUR"),
        ("3 for $10", "10", "-"),
        ("3 pour 10 €", "10", "EUR"),
        ("Pack of 2 $10.50", "10.50", "-"),
        ("500 g 3,49 €", "3.49", "EUR"),
        ("500g: 3,49 €", "3.49", "EUR"),
        ("6 x 0,5 l 3,49 €", "3.49", "EUR"),
        ("-20% 15,99 €", "15.99", "EUR"),
        ("15,99 € (-20 %)", "15.99", "EUR"),
        ("£10 (20% off)", "10", "GBP"),
        ("12,99 € inkl. 19 % MwSt.", "12.99", "EUR"),
        ("12,99 € / 100 g", "12.99", "EUR"),
        ("3,49 € (6,98 €/kg)", "3.49", "EUR"),
        ("6,98 €/kg 3,49 €", "3.49", "EUR"),
        ("Grundpreis 6,98 €, Preis 3,49 €", "3.49", "EUR"),
        ("$4.99 each", "4.99", "-"),
        ("4,99 € pro Stück", "4.99", "EUR"),
        ("4,99 €/St", "4.99", "EUR"),
        ("15. April 2026: 12,99 €", "12.99", "EUR"),
        ("15 April: 12,99", "12.99", "-"),
        ("April 15: 12,99", "12.99", "-"),
        ("20% 15,99", "15.99", "-"),
        ("15.04.2026 12,99 €", "12.99", "EUR"),
    ]);
}

#[test]
fn other_amounts_are_not_the_price() {
    check(&[
        ("statt 20,00 € nur 15,00 €", "15", "EUR"),
        ("UVP 20,00 € 15,00 €", "15", "EUR"),
        ("15,00 € UVP 20,00 €", "15", "EUR"),
        ("Was $20.00 Now $15.00", "15", "-"),
        ("Now $15.00 was $20.00", "15", "-"),
        ("RRP £20 Our price £15", "15", "GBP"),
        ("De R$ 199,90 por R$ 149,90", "149.90", "BRL"),
        ("149,90 € au lieu de 199,90 €", "149.90", "EUR"),
        ("Save $5 $15", "15", "-"),
        ("$15 (save $5)", "15", "-"),
        ("12,99 € + 4,90 € Versand", "12.99", "EUR"),
        ("12,99 € zzgl. 4,90 € Versand", "12.99", "EUR"),
        ("12,99 € zzgl. Versand", "12.99", "EUR"),
        ("Versand 4,90 €, Preis 12,99 €", "12.99", "EUR"),
        ("R$ 99,90 ou 3x de R$ 33,30", "99.90", "BRL"),
        ("3x de R$ 33,30 ou R$ 99,90 à vista", "99.90", "BRL"),
        ("120 € en 3 mensualités de 40 €", "120", "EUR"),
        ("10 € - 20 €", "10", "EUR"),
        ("10-20 €", "10", "EUR"),
        ("$10.00 – $20.00", "10", "-"),
        ("10,00 bis 20,00 €", "10", "EUR"),
        ("from £10", "10", "GBP"),
        ("à partir de 12,99 €", "12.99", "EUR"),
        ("od 12 zł", "12", "PLN"),
        ("от 1 200 руб.", "1200", "RUB"),
        ("$10/month", "10", "-"),
        ("6,98 €/kg", "6.98", "EUR"),
        ("Price: $119.00", "119", "-"),
        ("Regular price $59.90 Sale price $49.90", "49.90", "-"),
        ("Regular price: $59.90", "59.90", "-"),
        ("Reg. $24.99 Sale $19.99", "19.99", "-"),
        ("$19.99 reg $24.99", "19.99", "-"),
        ("通常価格 ¥5,980 セール価格 ¥4,980", "4980", "-"),
        ("原价￥59.80 现价￥49.80", "49.80", "-"),
        ("(1 kg = 7,00 €) 3,50 €", "3.50", "EUR"),
        ("UVP 19,90 €", "19.90", "EUR"),
        ("50% off $20.00", "20", "-"),
        ("10% Rabatt 20,00 €", "20", "EUR"),
        ("$59.90$49.90", "59.90", "-"),
        ("~$49.90", "49.90", "-"),
        ("10 - 20", "10", "-"),
        ("Rs. 499/-", "499", "-"),
        ("Price 42", "42", "-"),
        ("Free", "0", "-"),
        ("kostenlos", "0", "-"),
    ]);
}

#[test]
fn of_two_currencies_the_pages_own_is_taken() {
    assert_eq!(read("AED 450 (USD 122)", Some("USD")), Some(("122".to_owned(), Some("USD".to_owned()))));
    assert_eq!(read("AED 450 (USD 122)", Some("EUR")), Some(("450".to_owned(), Some("AED".to_owned()))));
}

#[test]
fn what_is_not_wholly_understood_is_refused() {
    refuse(&[
        "",
        "auf Anfrage",
        "N/A",
        "-5,00 €",
        "- € 5",
        "€ -5",
        "−5",
        "1.2,3.4,5",
        "1.2,3.4,5 €",
        "1,2,3",
        "12.34.56",
        "1.23.456,00 €",
        "1,2345,678",
        "99999999999999999999999999999999",
        "4006381333931",
        "25% OFF",
        "25%",
        "-25 %",
        "12,50 %",
        "%25",
        "12.50 percent off",
        "25 % Rabatt",
        "%25 indirim",
        "20 percent off",
        "15.04.2023",
        "2023-04-15",
        "04/15/2023",
        "15/04/23",
        "15. April 2023",
        "April 15, 2023",
        "0800 123 456",
        "0800 123 456 €",
        "+49 30 1234567",
        "+49301234567",
        "1-800-555-1234",
        "+1 555 123 4567",
        "555-1234",
        "5551234567",
        "10-20",
        "#12345",
        "№ 12345",
        "(555) 123-4567",
        "Tel. 030 123456",
        "Call 5551234",
        "500 g",
        "500g",
        "16GB",
        "2 Stück",
        "3 in stock",
        "Only 3 left",
        "4.5 stars",
        "Size 42",
        "Gr. 42",
        "iPhone12",
        "A4",
        "10x15 cm",
        "1/2",
        "1.5M",
        "499K",
        "12,xx €",
        "€ 12,xx",
        "1.xxx",
        "007",
        "05",
        "05 €",
        "00,99",
        "19 99",
        "12x R$ 49,90",
        "12 x 49,90 €",
        "49,90 € x 12",
        "3 Raten zu 33,33 €",
        "was $20",
        "statt 20,00 €",
        "Versand 4,90 €",
        "+ 4,90 € Versand",
        "+ 4,90 €",
        "4,90 € Versand",
        "$5 off",
        "Save $5",
        "12€990",
        "1.2.3",
        "(-12,99 €)",
        "1,5 triệu",
        "Versandkostenfrei ab 50 €",
        "Free shipping over $50",
        "192.168.1.1",
        "v2.0.1",
        "12.99abc",
    ]);
    refuse(&[&format!("12,99 € {}", "x ".repeat(200))]);
    refuse(&[&"9".repeat(400), &format!("{} €", "1.".repeat(140)), &"1 ".repeat(140)]);
}

#[test]
fn numbers_of_json_keep_their_digits() {
    assert_eq!(from_number("1299.10").unwrap().to_string(), "1299.10");
    assert_eq!(from_number("0.1").unwrap().to_string(), "0.1");
    assert_eq!(from_number("1.3e2").unwrap(), Decimal::from(130));
    assert_eq!(from_number("19.989999999999998").unwrap().to_string(), "19.99");
    assert_eq!(from_number("1299.0000000000002").unwrap(), Decimal::from(1299));
    for none in ["-1", "1e99", "1_000", "0x10", "", "1e-40"] {
        assert_eq!(from_number(none).filter(|amount| !amount.is_zero()), None, "{none}");
    }
}

#[test]
fn a_currency_is_a_code_of_the_standard_or_a_sign_that_only_one_has() {
    for (text, code) in [
        (" eur ", "EUR"),
        ("EUR", "EUR"),
        ("€", "EUR"),
        ("1 299,00 €", "EUR"),
        ("CHF 12.-", "CHF"),
        ("RMB", "CNY"),
        ("Kč", "CZK"),
        ("US$", "USD"),
        ("Euro", "EUR"),
        ("XOF", "XOF"),
        ("ALL", "ALL"),
    ] {
        assert_eq!(currency(text).as_deref(), Some(code), "{text}");
    }
    for none in ["$ 12", "TTC", "kr", "$", "¥", "", "HT ", "ABC", "XXX", "null", "978.5"] {
        assert_eq!(currency(none), None, "{none}");
    }
}

#[test]
fn of_several_prices_the_words_say_which_counts_or_there_is_none() {
    check(&[
        ("Rs 1,299 M.R.P.: Rs 1,999 (35% off)", "1299", "-"),
        ("M.R.P.: ₹1,999 ₹1,299", "1299", "INR"),
        ("MRP ₹1,999.00 Deal ₹1,299.00", "1299", "INR"),
        ("R.R.P. £20.00 £15.00", "15", "GBP"),
        ("Prix public : 49,90 € Prix : 39,90 €", "39.90", "EUR"),
        ("Original price was: $20.00.Current price is: $18.00.", "18", "-"),
        ("Ursprünglicher Preis war: 49,90 €Aktueller Preis ist: 39,90 €.", "39.90", "EUR"),
        ("Le prix initial était : 20,00 €.Le prix actuel est : 15,00 €.", "15", "EUR"),
        ("El precio original era: 20,00 €.El precio actual es: 15,00 €.", "15", "EUR"),
        ("Normaler Preis €20,00 EUR Verkaufspreis €18,00 EUR", "18", "EUR"),
        ("Prezzo di listino €20,00 Prezzo scontato €18,00", "18", "EUR"),
        ("Regular price$20.00Sale price$18.00Save $2.00", "18", "-"),
        ("15,00 zł Najniższa cena z 30 dni przed obniżką: 14,00 zł", "15", "PLN"),
        ("Niedrigster Preis der letzten 30 Tage: 14,00 € Preis 15,00 €", "15", "EUR"),
        ("You save 10%: $5.00 Price: $45.00", "45", "-"),
        ("Save 20% $15.99", "15.99", "-"),
        ("49,90 € HT 59,88 € TTC", "59.88", "EUR"),
        ("121,14 zł netto 149,00 zł brutto", "149", "PLN"),
        ("Preis (netto): 10,00 € (brutto): 11,90 €", "11.90", "EUR"),
        ("£10.00 excl. VAT £12.00 incl. VAT", "12", "GBP"),
        ("Inc. VAT £30.00 Ex. VAT £25.00", "30", "GBP"),
        ("Ex. VAT £25.00 Inc. VAT £30.00", "30", "GBP"),
        ("49,90 € HT (6,98 €/kg)", "49.90", "EUR"),
        ("UVP 19,90 € (6,98 €/kg)", "19.90", "EUR"),
        ("monatlich 10,00 €, Preis 120,00 €", "120", "EUR"),
        ("10,83 € monatlich oder 129,99 €", "129.99", "EUR"),
    ]);
    refuse(&["Standard 15,00 € Premium 20,00 €", "Express 9,99 € Abholung 4,99 €", "Basis 12,99 Deluxe 15,99"]);
}

#[test]
fn footnotes_are_no_amounts() {
    check(&[
        ("12,99 €¹", "12.99", "EUR"),
        ("12 €²", "12", "EUR"),
        ("12,99 €¹⁾", "12.99", "EUR"),
        ("12¹ €", "12", "EUR"),
        ("1.299,00 €1", "1299", "EUR"),
        ("Inhalt: 0.5 Liter (25,98 €* / 1 Liter) 12,99 €*", "12.99", "EUR"),
        ("12,99 €† 15,99 €‡", "12.99", "EUR"),
    ]);
    refuse(&["12 €1", "2*12,99 €"]);
}

#[test]
fn texts_that_lost_the_space_between_them_are_not_put_together_wrongly() {
    check(&[
        ("12€99 15€99", "12.99", "EUR"),
        ("12€99 149€99", "12.99", "EUR"),
        ("2 $10", "10", "-"),
        ("12 Euro und 99 Cent", "12.99", "EUR"),
        ("$1.2M", "1200000", "-"),
        ("$25 M", "25", "-"),
    ]);
    refuse(&["12€50%", "12€50ml", "12€ 99", "12..99 €", "12.,99 €", "1 299,.00 €", "Preis...12 €"]);
}

#[test]
fn a_point_of_a_sign_is_none_of_the_number_and_taxes_are_told_in_short() {
    check(&[
        ("$.75,333", "75333", "-"),
        ("$.750.30", "750.30", "-"),
        ("6790 Dinara", "6790", "RSD"),
        ("EUR29.66 (inc VAT 20% - UK & EEC) EUR24.71 (exc VAT 20% - UK & EEC)", "29.66", "EUR"),
        ("¥12,800(税込¥14,080)", "14080", "-"),
        ("3 plazos de 33,00 €, 99,00 €", "99.00", "EUR"),
    ]);
    refuse(&["4,350 points"]);
}

#[test]
fn all_amounts_of_a_text_are_told_with_what_they_are() {
    let told = |text: &str| -> Vec<(String, Role, bool)> {
        all(text, None).into_iter().map(|told| (told.money.amount.to_string(), told.role, told.has_sign)).collect()
    };
    let one = |amount: &str, role: Role| (amount.to_owned(), role, true);
    assert_eq!(told("Was $34.99 now $31.49"), [one("34.99", Role::Former), one("31.49", Role::Price)]);
    assert_eq!(told("12,90 € (25,80 €/kg)"), [one("12.90", Role::Price), one("25.80", Role::Part)]);
    assert_eq!(told("Nu 1.899,-"), [one("1899", Role::Price)]);
    assert_eq!(told("Product 17"), []);
    assert!(
        is_from("ab 9,99 €") && is_from("Now as low as $5") && !is_from("Fabric 9,99 €") && !is_from("from Paris, 9 €")
    );
    assert!(is_of_last("/ kg") && is_of_last("per month") && is_of_last("inkl. MwSt.") && !is_of_last("Versand"));
}
