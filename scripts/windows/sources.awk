# Reads apt's sources in the form of "Field: value" (call with -v RS=). For each address and suite
# of Debian's section main it prints the suite and a line "deb-src ..." with the address and the key.
{
    uris = suites = sections = key = ""
    count = split($0, lines, "\n")
    for (i = 1; i <= count; i++) {
        at = index(lines[i], ":")
        field = tolower(substr(lines[i], 1, at - 1))
        value = substr(lines[i], at + 1)
        if (field == "uris") uris = value
        if (field == "suites") suites = value
        if (field == "components") sections = value " "
        if (field == "signed-by" && value ~ /^ *\//) { sub(/^ +/, "", value); key = "[signed-by=" value "] " }
    }
    if (sections !~ / main /) next
    addresses = split(uris, uri, " ")
    names = split(suites, suite, " ")
    for (i = 1; i <= addresses; i++)
        for (k = 1; k <= names; k++)
            print suite[k], "deb-src " key uri[i] " " suite[k] " main"
}
