length = 8
rule "charset" {
 charset = "abc"
 min-chars = 4
}
rule "charset" {
 charset = "äöA"
 min-chars = 4
}
