//! What stands on the button that buys.

/// By the language.
pub(super) const BUY: [(&str, &str); 27] = [
    (
        "en",
        "add to cart|add to bag|add to basket|add to trolley|add to order|add item to|buy now|buy it now|add to my bag|buy product|1-click|order now|add to shopping|add to tote",
    ),
    (
        "de",
        "in den warenkorb|in den einkaufswagen|in den korb|in den einkaufskorb|jetzt kaufen|jetzt bestellen|zum warenkorb",
    ),
    ("fr", "ajouter au panier|au panier|acheter|commander|ajouter à mon panier|je commande"),
    ("es", "al carrito|a la cesta|a la bolsa|al carro|comprar"),
    ("it", "al carrello|alla borsa|acquista|compra ora|nel carrello"),
    ("pt", "ao carrinho|à sacola|comprar|no carrinho"),
    ("nl", "in winkelwagen|in winkelmand|in mijn winkel|in de winkel|aan winkelwagen|bestel nu|koop nu|nu bestellen"),
    ("pl", "do koszyka|kup teraz|kup na"),
    ("cs", "do košíku|koupit|vložit do"),
    ("sk", "do košíka|kúpiť"),
    ("sv", "i varukorg|i kundvagn|i korgen|köp nu|lägg till i"),
    ("no", "i handlekurv|i handlevogn|kjøp nå|legg i kurv"),
    ("da", "i kurv|læg i indkøb|køb nu"),
    ("fi", "ostoskoriin|lisää koriin|osta nyt"),
    ("hu", "kosárba|megveszem"),
    ("ro", "în coș|in cos|adauga in cos|cumpără"),
    ("hr", "u košaricu|u korpu|v košarico"),
    ("bg", "в количката|в кошницата|купи"),
    ("ru", "в корзину|купить|заказать"),
    ("uk", "в кошик|у кошик|купити"),
    ("tr", "sepete ekle|satın al|sepete at"),
    ("el", "στο καλάθι|αγορά"),
    ("ja", "カートに|カートへ|購入|買い物かご|かごに入れる"),
    ("zh", "加入购物车|立即购买|加入購物車|放入購物車|购买|立即購買"),
    ("ko", "장바구니|구매하기|바로구매"),
    ("ar", "أضف إلى|أضف للسلة|اشتري|إضافة إلى السلة"),
    ("others", "thêm vào giỏ|mua ngay|ke keranjang|beli sekarang|ใส่ตะกร้า|ลงตะกร้า|לסל|lisa ostukorvi|į krepšelį|grozam"),
];

pub(super) const PREORDER: [(&str, &str); 9] = [
    ("en", "pre-order|preorder|pre order"),
    ("de", "vorbestellen"),
    ("fr", "précommander|pré-commander"),
    ("es", "reservar ahora|preventa|precompra"),
    ("it", "preordina|prenota ora"),
    ("pt", "pré-venda|pré-encomenda"),
    ("nl", "pre-order nu|reserveer nu"),
    ("pl", "zamów przedpremierowo|przedsprzedaż"),
    ("ja", "予約"),
];

/// Words that say so where nothing else stands on a button.
pub(super) const ALONE: &str = "add|buy|ajouter|hinzufügen|kaufen|bestellen|bestellen|köp|kjøp|køb|osta|kup|koop|acquista|aggiungi|añadir|\
    agregar|adicionar|купить|заказать|koupit|kúpiť|kupi|satın al|purchase|order|cart|warenkorb|panier|carrito";
