#!/bin/sh
# Prints the home of a Java 17 or 21, the versions that Spark 4.0 runs on; exits with 1 where there is none.
is_right() {
    [ -x "$1/bin/java" ] && "$1/bin/java" -version 2>&1 | grep -qE '"(17|21)[.".]'
}
for home in "$JAVA_HOME" \
    "$(dirname "$(dirname "$(readlink -f "$(command -v java 2>/dev/null)" 2>/dev/null)")" 2>/dev/null)" \
    /usr/lib/jvm/*17* /usr/lib/jvm/*21* \
    "$(/usr/libexec/java_home -v 17 2>/dev/null)" "$(/usr/libexec/java_home -v 21 2>/dev/null)" \
    /opt/homebrew/opt/openjdk@17 /opt/homebrew/opt/openjdk@21 /usr/local/opt/openjdk@17 /usr/local/opt/openjdk@21; do
    if [ -n "$home" ] && is_right "$home"; then
        echo "$home"
        exit 0
    fi
done
exit 1
