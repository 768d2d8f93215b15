-- A dump in the form of mysqldump: `bakery` is the database of the demonstrations, `kinds` has one column a type.
CREATE USER 'admin'@'%' IDENTIFIED BY 'admin';
CREATE DATABASE  IF NOT EXISTS `bakery` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci */;
USE `bakery`;

DROP TABLE IF EXISTS `baker`;
CREATE TABLE `baker` (
  `id` int NOT NULL,
  `name` text COLLATE utf8mb4_general_ci,
  `town` text COLLATE utf8mb4_general_ci,
  `age` int DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
LOCK TABLES `baker` WRITE;
INSERT INTO `baker` VALUES (3,'Maj','Umeå',33),(1,'Nils','Lund',45),(2,'Ada','Lund ',51);
UNLOCK TABLES;

CREATE TABLE `bread` (
  `id` int NOT NULL,
  `title` text COLLATE utf8mb4_general_ci,
  `price` double DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
INSERT INTO `bread` VALUES (1,'spelt',4),(2,'rye',4.5),(3,'toast',2.5);

CREATE TABLE `sale` (
  `baker_id` int DEFAULT NULL,
  `bread_id` int DEFAULT NULL,
  `loaves` int DEFAULT NULL
) ENGINE=InnoDB;
INSERT INTO `sale` VALUES (1,2,10),(2,2,5),(2,1,7),(3,1,3),(3,3,NULL);

CREATE DATABASE IF NOT EXISTS `kinds`;
USE `kinds`;
CREATE TABLE `Thing` (
  `id` int NOT NULL AUTO_INCREMENT,
  `code` varchar(10) COLLATE utf8mb4_general_ci NOT NULL DEFAULT '',
  `price` decimal(19,4) DEFAULT NULL,
  `rate` float(10,2) DEFAULT NULL,
  `weight` double DEFAULT NULL,
  `made` date DEFAULT NULL,
  `seen` datetime DEFAULT NULL,
  `kept` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `year` text COLLATE utf8mb4_general_ci,
  PRIMARY KEY (`id`),
  UNIQUE KEY `by_code` (`code`),
  KEY `by_weight` (`weight`)
) ENGINE=InnoDB AUTO_INCREMENT=4;
INSERT INTO `Thing` VALUES (1,'A1',12.5000,3.25,1.5,'2003-04-05','2018-03-19 04:39:54','2018-03-19 00:00:00','9'),(2,'b2',0.3333,1.10,2,'2004-02-29',NULL,'2019-01-01 12:00:00','10'),(3,'it\'s \"x\"',NULL,-2.00,NULL,NULL,'2018-03-19 00:00:00','2019-01-01 12:00:00','n/a');
