length=20
rule "charset" { charset="abcdefghij" min-chars=1 }
