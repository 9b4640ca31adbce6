path "a" { policy = "write" }
path "identity/{{identity.entity.id}}/*" { capabilities = ["deny", "sudo"] }
