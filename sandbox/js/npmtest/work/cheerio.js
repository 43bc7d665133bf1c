import * as cheerio from "cheerio/slim";

export async function work() {
  const $ = cheerio.load(`<ul id="fruits"><li class="apple">Apple &amp; Pear</li><li class=orange data-price="3">Orange</li></ul><p>ünï</p>`);
  $("#fruits").append('<li class="plum">Plum</li>');
  $(".orange").attr("title", 'a "quote"').addClass("ripe");
  return {
    html: $.html(), texts: $("li").map((i, e) => $(e).text()).get(), price: $("[data-price]").data("price"), not: $("li:not(.apple)").length,
    extracted: $.extract({ fruits: ["li"], first: { selector: "li", value: "class" } }), xml: cheerio.load("<a><b/></a>", { xml: true }).xml(),
  };
}
