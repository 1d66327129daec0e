"""Speed, memory and quality of ecomrec beside its peers; see README.md."""
