/* a comment */ path "x" { // another
 capabilities = [
 "read", # and one more
 ]
}